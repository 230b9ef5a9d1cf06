"""Which sample comes when: a function of seed and position, so nothing is to be remembered."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from schemas.identity import keyed_rng
from training.data.permutation import KeyedPermutation
from training.errors import TrainingError

# raised where a seed comes to mean another order: runs that go on are told. 1: by numpy's shuffle
ORDER_VERSION: Final = 2
_BLOCK: Final = 1000  # positions within which corpora have their shares exactly

Numbers = npt.NDArray[np.int64]


class SamplePosition(NamedTuple):
    """A sample: its corpus, its number there, and how often that corpus was gone through before."""

    corpus: int
    number: int
    epoch: int


class PositionOrder(Protocol):
    """Which sample comes at a position."""

    def at(self, position: int) -> SamplePosition:
        """The sample at a position from 0."""


class SampleOrder:
    """An endless order of the samples of several corpora.

    In each epoch of a corpus every sample comes once. Without weights the corpora are as one; with
    weights, each has its share of every thousand positions, so a small corpus of high quality may
    come round often beside a large one (Noise2Music's anchor). Raises `TrainingError` for weights
    that do not fit.

    >>> order = SampleOrder([3], seed=0)
    >>> [order.at(position).number for position in range(6)]
    [2, 0, 1, 0, 2, 1]
    """

    def __init__(
        self, sizes: Sequence[int], *, weights: Sequence[float] = (), seed: int = 0
    ) -> None:
        if weights and (len(weights) != len(sizes) or min(weights) <= 0):
            raise TrainingError(
                f"{len(sizes)} corpora but weights {list(weights)}: each corpus needs one above 0"
            )
        if min(sizes, default=0) < 1:
            raise TrainingError(f"corpora of {list(sizes)} samples: each needs at least one")
        self._sizes, self._seed = tuple(sizes), seed
        self._shares = _shares(weights) if weights else ()
        self._ends = np.cumsum(sizes)
        self._shuffled = lru_cache(maxsize=2 * len(sizes))(self._shuffle)
        self._turns = lru_cache(maxsize=4)(self._corpus_turns)

    def at(self, position: int) -> SamplePosition:
        """The sample at a position from 0."""
        if not self._shares:
            epoch, offset = divmod(position, int(self._ends[-1]))
            number = self._shuffled(-1, epoch).at(offset)
            corpus = int(np.searchsorted(self._ends, number, side="right"))
            return SamplePosition(
                corpus, number - int(self._ends[corpus] - self._sizes[corpus]), epoch
            )
        block, offset = divmod(position, _BLOCK)
        corpora, before = self._turns(block)
        corpus = int(corpora[offset])
        epoch, offset = divmod(
            block * self._shares[corpus] + int(before[offset]), self._sizes[corpus]
        )
        return SamplePosition(corpus, self._shuffled(corpus, epoch).at(offset), epoch)

    def _shuffle(self, corpus: int, epoch: int) -> KeyedPermutation:
        size = int(self._ends[-1]) if corpus < 0 else self._sizes[corpus]
        return KeyedPermutation(
            size, seed=self._seed, key=f"corpus {corpus}", purpose=f"order of epoch {epoch}"
        )

    def _corpus_turns(self, block: int) -> tuple[Numbers, Numbers]:
        """Whose turn it is at each position of a block, and how many of its turns came before."""
        corpora = np.repeat(np.arange(len(self._shares)), self._shares)
        corpora = corpora[keyed_rng(self._seed, f"block {block}", "corpora").permutation(_BLOCK)]
        before = np.zeros(_BLOCK, np.int64)
        for corpus in range(len(self._shares)):
            mine = corpora == corpus
            before[mine] = np.arange(mine.sum())
        return corpora, before


def _shares(weights: Sequence[float]) -> tuple[int, ...]:
    """Weights as whole numbers that make up a block, by largest remainders; each at least one."""
    exact = np.asarray(weights, np.float64) / sum(weights) * _BLOCK
    shares = np.maximum(1, np.floor(exact)).astype(np.int64)
    for index in np.argsort(-(exact - np.floor(exact)), kind="stable")[
        : max(0, _BLOCK - int(shares.sum()))
    ]:
        shares[index] += 1
    shares[int(np.argmax(shares))] += _BLOCK - int(shares.sum())
    return tuple(int(share) for share in shares)
