"""Joins that are heard stand out, those that are not do not; loops go round or miss."""

import numpy as np
import pytest

from training.metrics.joins import (
    beat_phase_error_s,
    inner_similarity,
    join_figures,
    seam_similarity,
    spectral_flux,
)

RATE = 16_000
TIME = np.arange(4 * RATE) / RATE
TONE = (0.2 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)


def test_a_jump_in_phase_is_a_click_and_a_sound_that_goes_on_is_not() -> None:
    rng = np.random.default_rng(0)
    smooth = TONE + rng.normal(0, 0.01, len(TONE)).astype(np.float32)
    broken = smooth.copy()
    broken[2 * RATE : 2 * RATE + 64] += 0.9
    [whole], [heard] = (join_figures(wave, RATE, (2.0,)) for wave in (smooth, broken))
    assert whole.is_free
    assert not heard.is_free
    assert heard.share == 1.0
    assert heard.flux_db > 3 * heard.limit_db


def test_flux_is_where_sound_begins() -> None:
    wave = np.where(TIME >= 1.0, TONE, 0).astype(np.float32)
    assert abs(int(spectral_flux(wave, RATE).argmax()) * 0.008 - 1.0) < 0.02


def test_ends_of_one_sound_are_alike_and_of_two_are_not() -> None:
    other = np.concatenate([TONE[: 2 * RATE], 0.2 * np.sin(2 * np.pi * 3000 * TIME[2 * RATE :])])
    assert seam_similarity(TONE, RATE) > 0.99
    assert inner_similarity(TONE, RATE) > 0.99
    assert seam_similarity(other.astype(np.float32), RATE) < 0.5


@pytest.mark.parametrize("late_s", [0.0, 0.02, 0.1])
def test_beats_miss_by_as_much_as_the_loop_is_too_long(late_s: float) -> None:
    beats_s = [0.3 + 0.5 * number for number in range(12)]
    del beats_s[5]  # one was not heard
    assert beat_phase_error_s(beats_s, 6.0 + late_s) == pytest.approx(late_s, abs=1e-3)
    assert beat_phase_error_s(beats_s[:3], 6.0) is None
