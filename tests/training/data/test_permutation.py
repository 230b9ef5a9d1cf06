"""Shuffled numbers that nobody keeps."""

import sys
from collections import Counter
from math import factorial

import numpy as np
import pytest

from training.data.order import SampleOrder
from training.data.permutation import KeyedPermutation


def shuffled(size: int, seed: int = 0, count: int | None = None) -> list[int]:
    permutation = KeyedPermutation(size, seed=seed, key="a corpus", purpose="order")
    return [permutation.at(index) for index in range(size if count is None else count)]


def test_every_number_comes_once_whatever_their_number() -> None:
    for size in (*range(1, 130), 1000, 4097):
        assert sorted(shuffled(size)) == list(range(size)), size


def test_all_orders_of_a_few_are_about_as_likely() -> None:
    """By chi-squared: of 24 orders of four 23 degrees of freedom, 49.7 at one in a thousand."""
    seen = Counter(tuple(shuffled(4, seed)) for seed in range(2400))
    assert len(seen) == factorial(4)
    assert sum((count - 100) ** 2 / 100 for count in seen.values()) < 49.7


def test_of_a_hundred_million_any_is_at_hand_and_neighbours_are_far_apart() -> None:
    size = 100_000_000
    first = np.array(shuffled(size, count=2000))
    assert len(set(first.tolist())) == 2000
    assert first.mean() / size == pytest.approx(0.5, abs=0.03)  # 4.6 standard errors
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.1
    assert not np.intersect1d(first[:100], shuffled(size, seed=1, count=100)).size


def test_an_order_of_a_hundred_million_keeps_no_more_than_one_of_ten() -> None:
    def kept(size: int) -> int:
        order = SampleOrder([size])
        order.at(size + 3)
        permutation = order._shuffled(-1, 1)
        return sum(sys.getsizeof(one) for one in (permutation, permutation.__dict__))

    assert kept(100_000_000) <= kept(10) + 64
