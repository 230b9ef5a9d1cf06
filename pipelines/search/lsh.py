"""Near vectors without comparing all pairs: signatures by random hyperplanes, and their hashes in
hash tables that they give.

Two vectors at an angle of t differ in each bit with the chance t / pi (Charikar, 2002), which is
where all figures here come from.
"""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.label_recipe import NearRecipe

Words = npt.NDArray[np.uint64]
_WORDS: Final = 4  # of 64 bits: a signature gives an angle to about 3 degrees
_FEWEST_BITS: Final = 6
_MOST_BITS: Final = 30
# a near pair's signatures differ by more than this many deviations above the mean in one case of a
# thousand
_DEVIATIONS: Final = 3.0
_MOST_OF_ONE_HASH: Final = 4096  # of a larger crowd each is compared with this many that follow it


class Hashing(NamedTuple):
    """How many hash tables there are, and how many bits a vector's hash has in each."""

    tables: int
    bits: int

    @classmethod
    def for_corpus(cls, clips: int, recipe: NearRecipe) -> "Hashing":
        """Bits that leave few strangers under one hash, and as many tables as the recall asks for.

        >>> Hashing.for_corpus(1_000_000, NearRecipe())
        Hashing(tables=22, bits=20)
        """
        bits = min(_MOST_BITS, max(_FEWEST_BITS, round(math.log2(max(2, clips)))))
        together = (1 - _differ(recipe.min_similarity)) ** bits
        return cls(max(1, math.ceil(math.log(1 - recipe.recall) / math.log(1 - together))), bits)


class Signed(NamedTuple):
    """Vectors as bits: hashes in T tables (T, N), and signatures of W words (N, W)."""

    hashes_TN: Words
    signatures_NW: Words


def _differ(similarity: float) -> float:
    """Chance that a random hyperplane parts two vectors."""
    return math.acos(max(-1.0, min(1.0, similarity))) / math.pi


def signatures(
    vectors_ND: npt.NDArray[np.float32], hashing: Hashing, rng: np.random.Generator
) -> Signed:
    """Bits of unit vectors; every caller must give the same generator."""
    dimension = vectors_ND.shape[1]
    long_NB = vectors_ND @ rng.standard_normal((dimension, 64 * _WORDS)).astype(np.float32) > 0
    hashes = [
        _numbers(vectors_ND @ rng.standard_normal((dimension, hashing.bits)).astype(np.float32) > 0)
        for _ in range(hashing.tables)
    ]
    return Signed(np.stack(hashes), np.packbits(long_NB, axis=1).view(np.uint64))


def _numbers(bits_NB: npt.NDArray[np.bool_]) -> Words:
    numbers: Words = bits_NB @ (np.uint64(1) << np.arange(bits_NB.shape[1], dtype=np.uint64))
    return numbers


def most_different(similarity: float) -> int:
    """In how many bits the signatures of two vectors that are this similar may differ, but for one
    pair in a thousand.
    """
    size, chance = 64 * _WORDS, _differ(similarity)
    return math.ceil(size * chance + _DEVIATIONS * math.sqrt(size * chance * (1 - chance)))


def near_pairs(
    hashes_N: Words, signatures_NW: Words, similarity: float
) -> Iterator[tuple[int, int]]:
    """Pairs of rows that share a hash and whose signatures are near enough, lower row first."""
    limit = most_different(similarity)
    order = np.lexsort((*signatures_NW.T, hashes_N))  # in a crowd, copies stand side by side
    borders = np.flatnonzero(np.diff(hashes_N[order])) + 1
    for rows in np.split(order, borders):
        for at in range(len(rows) - 1):
            others = rows[at + 1 : at + 1 + _MOST_OF_ONE_HASH]
            differ = np.bitwise_count(signatures_NW[others] ^ signatures_NW[rows[at]]).sum(axis=1)
            for other in others[differ <= limit].tolist():
                yield min(int(rows[at]), other), max(int(rows[at]), other)
