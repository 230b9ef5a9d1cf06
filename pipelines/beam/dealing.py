"""Which worker does which buckets."""

import heapq
from collections.abc import Mapping


def balanced(sizes: Mapping[str, int], workers: int) -> list[list[str]]:
    """Buckets by worker, the largest first to the one with the least work."""
    held: list[list[str]] = [[] for _ in range(workers)]
    heap = [(0, worker) for worker in range(workers)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        work, worker = heapq.heappop(heap)
        held[worker].append(name)
        heapq.heappush(heap, (work + sizes[name], worker))
    return held
