"""Batches of samples that are about as long, of corpora in which they are not.

What stands together is padded to the longest of it, so that short clips cost what they are worth.
Still a function of seed and position: nothing is to be remembered, nothing is left out.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from schemas.identity import keyed_rng
from training.data.index import CorpusIndex
from training.data.order import PositionOrder, SamplePosition

_POOL: Final = 32  # batches that are sorted together: all but a few hold one length alone


class BucketedOrder:
    """Another order with each pool of its batches sorted by length; batches come shuffled.

    Lengths are not known before samples are read, but their bytes are, which grow with them.
    """

    def __init__(
        self,
        order: PositionOrder,
        corpora: Sequence[CorpusIndex],
        *,
        batch: int,
        seed: int,
        pool: int = _POOL,
    ) -> None:
        self._order, self._corpora = order, tuple(corpora)
        # of a small corpus no more than it has: a pool would hold each sample several times
        self._pool = max(1, min(pool, sum(map(len, corpora)) // batch))
        self._batch, self._seed = batch, seed
        self._sorted = lru_cache(maxsize=2)(self._sort)

    def at(self, position: int) -> SamplePosition:
        """The sample at a position from 0."""
        number, offset = divmod(position, self._pool * self._batch)
        return self._sorted(number)[offset]

    def _sort(self, number: int) -> tuple[SamplePosition, ...]:
        first = number * self._pool * self._batch
        samples = [self._order.at(first + offset) for offset in range(self._pool * self._batch)]
        # a sample that comes again, of the next epoch, stands behind all that come first: sorted by
        # length alone it would be in one batch with itself. Stable: equal ones as they came
        met, ranks = Counter[tuple[int, int]](), dict[SamplePosition, tuple[int, int]]()
        for one in samples:
            ranks[one] = (met[one.corpus, one.number], self._bytes(one))
            met[one.corpus, one.number] += 1
        samples.sort(key=ranks.__getitem__)
        rng = keyed_rng(self._seed, str(number), "batches of a pool")
        return tuple(
            one
            for index in rng.permutation(self._pool).tolist()
            for one in samples[index * self._batch : (index + 1) * self._batch]
        )

    def _bytes(self, sample: SamplePosition) -> int:
        found = self._corpora[sample.corpus].range_of(sample.number)
        return found.end - found.start


def bucket_of(frames: int, buckets: Sequence[int], most: int) -> int:
    """The length that a batch is padded to: the first of some ascending ones that its longest
    sample fits in, else the most that is learned.

    >>> bucket_of(70, (80, 240), 760), bucket_of(241, (80, 240), 760), bucket_of(70, (), 760)
    (80, 760, 760)
    """
    return next((one for one in buckets if frames <= one), most)
