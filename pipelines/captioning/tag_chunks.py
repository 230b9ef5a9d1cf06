"""Tags and metadata joined to texts of a model's length, as equal as can be."""

from collections.abc import Callable, Sequence

JOIN = ", "


def equal_chunks(terms: Sequence[str], limit: int, size: Callable[[str], int]) -> list[str]:
    """Terms joined in order in as few texts as the limit allows, of nearly the same size.

    A term beyond the limit is left out.

    >>> equal_chunks(["ab", "cd", "ef", "gh", "i"], 8, len)
    ['ab', 'cd, ef', 'gh, i']
    >>> equal_chunks(["ab", "cd", "ef"], 10, len), equal_chunks(["abcdef"], 5, len)
    (['ab, cd, ef'], [])
    """
    usable = [term for term in dict.fromkeys(terms) if size(term) <= limit]
    for number in range(1, len(usable) + 1):
        chunks = _cut(usable, number, size)
        if all(size(chunk) <= limit for chunk in chunks):
            return chunks
    return []


def _cut(terms: Sequence[str], number: int, size: Callable[[str], int]) -> list[str]:
    """Terms in `number` texts, each term in the one that its middle falls into."""
    total, passed = sum(size(term) for term in terms), 0
    groups: list[list[str]] = [[] for _ in range(number)]
    for term in terms:
        middle = passed + size(term) / 2
        groups[min(number - 1, int(number * middle / total))].append(term)
        passed += size(term)
    return [JOIN.join(group) for group in groups if group]
