"""Chunks keep order and every term that fits, stay within the limit, and are as equal as can be."""

import numpy as np
import pytest

from pipelines.captioning.splitting import JOIN, equal_chunks


@pytest.mark.parametrize("seed", range(20))
def test_every_term_stands_in_one_chunk_in_its_place_and_none_is_too_long(seed: int) -> None:
    rng = np.random.default_rng(seed)
    terms = [
        f"{number}{'x' * int(rng.integers(1, 12))}" for number in range(int(rng.integers(1, 30)))
    ]
    chunks = equal_chunks(terms, 20, len)
    assert JOIN.join(chunks).split(JOIN) == terms
    assert max(map(len, chunks)) <= 20


def test_there_are_no_more_chunks_than_needed_and_they_are_alike() -> None:
    chunks = equal_chunks(["abcd"] * 1 + [f"abc{number}" for number in range(9)], 30, len)
    assert len(chunks) == 2
    assert abs(len(chunks[0]) - len(chunks[1])) <= 6


def test_a_term_that_comes_twice_stands_once_and_one_beyond_the_limit_not_at_all() -> None:
    assert equal_chunks(["a", "b", "a", "long beyond measure"], 8, len) == ["a, b"]
    assert equal_chunks([], 8, len) == []
