"""Near vectors meet in the hash tables as often as the recall promises.

What is far does not get through.
"""

import numpy as np
import pytest

from pipelines.search.lsh import Hashing, most_different, near_pairs, signatures
from schemas.label_recipe import NearRecipe

DIMENSION = 64


def unit(rows: np.ndarray) -> np.ndarray:
    made: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made.astype(np.float32)


def pairs_at(similarity: float, number: int) -> np.ndarray:
    """Vectors, each followed by one at exactly this cosine."""
    rng = np.random.default_rng(0)
    one = unit(rng.standard_normal((number, DIMENSION)))
    other = rng.standard_normal((number, DIMENSION))
    other = unit(other - np.sum(other * one, axis=1, keepdims=True) * one)
    return unit(
        np.stack([one, similarity * one + np.sqrt(1 - similarity**2) * other], axis=1).reshape(
            -1, DIMENSION
        )
    )


def met(vectors: np.ndarray, hashing: Hashing, similarity: float) -> set[tuple[int, int]]:
    signed = signatures(vectors, hashing, np.random.default_rng(1))
    return {
        pair
        for hashes in signed.hashes_TN
        for pair in near_pairs(hashes, signed.signatures_NW, similarity)
    }


def test_nearly_all_pairs_at_the_limit_meet() -> None:
    recipe = NearRecipe(min_similarity=0.95, recall=0.95)
    found = met(pairs_at(0.95, 1000), Hashing.for_corpus(2000, recipe), 0.95)
    # 950 by the recall, less one in a thousand by signatures
    assert sum((2 * row, 2 * row + 1) in found for row in range(1000)) >= 930


def test_equal_vectors_always_meet() -> None:
    found = met(pairs_at(1.0, 300), Hashing.for_corpus(600, NearRecipe()), 0.97)
    assert {(2 * row, 2 * row + 1) for row in range(300)} <= found


def test_what_is_far_apart_hardly_gets_through() -> None:
    vectors = pairs_at(0.0, 1000)
    # of two million pairs
    assert len(met(vectors, Hashing.for_corpus(2000, NearRecipe()), 0.97)) < 10


@pytest.mark.parametrize(("similarity", "bits"), [(1.0, 0), (0.0, 152)])
def test_signatures_of_256_bits_may_differ_in_so_many(similarity: float, bits: int) -> None:
    assert most_different(similarity) == bits  # of right angles half, and three deviations of 8


def test_a_larger_corpus_gets_more_bits_and_more_tables() -> None:
    small, large = (Hashing.for_corpus(clips, NearRecipe()) for clips in (1000, 10_000_000))
    assert (small.bits, large.bits) == (10, 23)
    assert small.tables < large.tables
