"""Which hand does which buckets."""

import heapq
from collections.abc import Mapping


def balanced(sizes: Mapping[str, int], hands: int) -> list[list[str]]:
    """Buckets by hand, the largest first to the hand with the least work."""
    held: list[list[str]] = [[] for _ in range(hands)]
    heap = [(0, hand) for hand in range(hands)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        work, hand = heapq.heappop(heap)
        held[hand].append(name)
        heapq.heappush(heap, (work + sizes[name], hand))
    return held
