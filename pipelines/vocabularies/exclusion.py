"""Captions that must not come back as labels, word for word or nearly so."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from pipelines.vocabularies.rules import sameness, sentences_of

_RUN: Final = 3  # words in a row that two texts share by more than chance
_SHARED: Final = 0.6  # of the shorter text's runs: from here on one repeats the other
_FEWEST_WORDS: Final = 4  # of a text that can be recognised in others; shorter ones must be equal
_COMMON: Final = 2000  # a run in more sentences than this ("in the background") tells nothing


class Exclusion:
    """Sentences that are held out.

    A text leaks where it is one of them but for case and punctuation, where it has most of one's
    runs of three words, or one has most of its: what language models are cleaned of evaluation data
    by.
    """

    def __init__(self, captions: Iterable[str]) -> None:
        self._same: set[str] = set()
        self._sizes: list[int] = []
        self._runs: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for caption in captions:
            for sentence in (*sentences_of(caption), caption):
                self._add(sameness(sentence))

    def _add(self, sentence: str) -> None:
        words = sentence.split()
        if sentence in self._same:
            return
        self._same.add(sentence)
        if len(words) < _FEWEST_WORDS:
            return
        runs = _runs(words)
        for run in runs:
            self._runs[run].append(len(self._sizes))
        self._sizes.append(len(runs))

    def __len__(self) -> int:
        """How many different sentences are held out."""
        return len(self._same)

    def leaks(self, text: str) -> bool:
        """Whether a text repeats a held-out sentence.

        >>> words = "A sad piano melody plays over soft strings"
        >>> held_out = Exclusion([f"{words} and a slow drum beat."])
        >>> held_out.leaks(words), held_out.leaks("A sad piano ballad with strings.")
        (True, False)
        """
        same = sameness(text)
        if same in self._same:
            return True
        words = same.split()
        if len(words) < _FEWEST_WORDS:
            return False
        runs = _runs(words)
        shared = Counter(
            at
            for run in runs
            if len(indices := self._runs.get(run, ())) <= _COMMON
            for at in indices
        )
        return any(
            count >= _SHARED * min(len(runs), self._sizes[at]) for at, count in shared.items()
        )


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + _RUN]) for start in range(len(words) - _RUN + 1)}
