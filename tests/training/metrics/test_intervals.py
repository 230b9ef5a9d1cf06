"""Intervals: Wilson's against a published table, the bootstrap against what the normal distribution
gives.
"""

import numpy as np
import pytest

from training.metrics.intervals import mean_interval, share_interval


@pytest.mark.parametrize(  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    ("hits", "clips", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_s_interval_is_the_published_one(
    hits: int, clips: int, low: float, high: float
) -> None:
    found = share_interval(hits, clips)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.value == hits / clips


def test_a_bootstrap_of_many_clips_is_as_wide_as_the_normal_interval() -> None:
    values = np.random.default_rng(0).uniform(size=400).tolist()
    found = mean_interval(values, 0, "ECM")
    half = 1.96 * float(np.std(values)) / 20
    assert found.high - found.value == pytest.approx(half, rel=0.1)
    assert found.value - found.low == pytest.approx(half, rel=0.1)


def test_draws_depend_on_seed_and_name() -> None:
    values = np.random.default_rng(1).uniform(size=50).tolist()
    assert mean_interval(values, 1, "a") == mean_interval(values, 1, "a")
    assert (
        len({mean_interval(values, seed, name) for seed, name in ((1, "a"), (2, "a"), (1, "b"))})
        == 3
    )


def test_equal_values_do_not_make_a_sure_thing() -> None:
    assert mean_interval([1.0, 1.0, 1.0], 0, "ECM") == share_interval(3, 3)
    assert mean_interval([0.5, 0.5], 0, "ECM").low < 0.5 < mean_interval([0.5, 0.5], 0, "ECM").high
