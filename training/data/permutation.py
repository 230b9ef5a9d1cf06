"""A shuffled row of numbers that nobody has to keep: each is computed when it is asked for."""

import math
from typing import Final

from schemas.identity import keyed_rng

_ROUNDS: Final = 8  # four are like chance for large digits (Luby & Rackoff 1988); ours may be small
_MASK: Final = (1 << 64) - 1


class KeyedPermutation:
    """A permutation of 0 … size − 1 by a key, in no memory.

    A number is two digits, each of which is moved in turn by a hash of the other (a Feistel network
    whose digits need not be as large as each other: Black & Rogaway 2002, "Ciphers with arbitrary
    finite domains"). Two digits can say a few numbers more than there are; whoever lands on one of
    those goes on until he is back among the others.

    >>> shuffled = KeyedPermutation(5, seed=0, key="corpus 0", purpose="order of epoch 0")
    >>> [shuffled.at(index) for index in range(5)]
    [1, 0, 3, 2, 4]
    """

    def __init__(self, size: int, *, seed: int, key: str, purpose: str) -> None:
        self._size = size
        self._low = max(1, math.isqrt(max(0, size - 1)) + 1)
        self._high = -(-size // self._low)
        drawn = keyed_rng(seed, key, purpose).integers(_MASK, size=_ROUNDS, dtype="uint64")
        self._keys = tuple(int(one) for one in drawn)

    def at(self, index: int) -> int:
        """The number at an index."""
        number = self._moved(index)
        while number >= self._size:
            number = self._moved(number)
        return number

    def _moved(self, number: int) -> int:
        high, low = divmod(number, self._low)
        for turn, key in enumerate(self._keys):
            if turn % 2:
                low = (low + _hashed(high ^ key)) % self._low
            else:
                high = (high + _hashed(low ^ key)) % self._high
        return high * self._low + low


def _hashed(value: int) -> int:
    """64 bits mixed: the finalizer of SplitMix64 (Steele, Lea & Flood 2014)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)
