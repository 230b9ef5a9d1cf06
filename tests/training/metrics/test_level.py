"""Levels of sounds whose levels are known."""

import numpy as np
import pytest

from training.metrics.level import (
    EDGES_HZ,
    FLOOR_DB,
    RATE_HZ,
    LevelReport,
    clip_level,
    level_report,
)


def sine(hz: float, amplitude: float = 1.0, seconds: float = 2.0) -> np.ndarray:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave: np.ndarray = (amplitude * np.sin(2 * np.pi * hz * times)).astype(np.float32)
    return wave


def told(made: list[np.ndarray], reference: list[np.ndarray]) -> LevelReport:
    found = level_report(list(map(clip_level, made)), list(map(clip_level, reference)))
    assert found is not None
    return found


@pytest.mark.parametrize(("amplitude", "level_db"), [(1.0, -3.01), (0.1, -23.01), (0.5, -9.03)])
def test_a_sine_has_half_the_power_of_its_peak(amplitude: float, level_db: float) -> None:
    assert clip_level(sine(440, amplitude)).level_db == pytest.approx(level_db, abs=0.01)


@pytest.mark.parametrize("octave", range(1, 8))
def test_a_sine_is_in_its_octave_with_all_of_its_power(octave: int) -> None:
    found = clip_level(sine(1.4 * EDGES_HZ[octave]))
    assert found.octaves_db[octave] == pytest.approx(-3.01, abs=0.1)
    assert max(found.octaves_db[:octave] + found.octaves_db[octave + 1 :]) < -30


def test_white_noise_is_3_db_louder_in_each_octave_than_below() -> None:
    noise = np.random.default_rng(0).standard_normal(30 * RATE_HZ).astype(np.float32) * 0.1
    steps = np.diff(clip_level(noise).octaves_db)
    assert steps[1:] == pytest.approx(np.full(6, 3.01), abs=0.6)


def test_silence_is_at_the_floor_and_in_no_mean() -> None:
    assert clip_level(np.zeros(RATE_HZ, np.float32)).level_db == FLOOR_DB
    found = told([sine(440), np.zeros(RATE_HZ, np.float32)], [])
    assert (found.made.mean_db, found.made.clips, found.made.silent) == (-3.01, 1, 1)
    assert level_report([clip_level(np.zeros(RATE_HZ, np.float32))]) is None


def test_what_is_louder_all_over_differs_in_level_and_not_in_shape() -> None:
    noise = np.random.default_rng(0).standard_normal(4 * RATE_HZ).astype(np.float32) * 0.01
    found = told([10 * noise, 10 * noise], [noise])
    assert found.reference is not None
    assert found.made.mean_db - found.reference.mean_db == pytest.approx(20, abs=0.02)
    assert [octave.difference_db for octave in found.octaves] == pytest.approx([20] * 8, abs=0.02)
    assert (found.spectrum_db, found.shape_db) == pytest.approx((20, 0), abs=0.02)


def test_spread_is_over_clips_and_a_missing_octave_shows_in_the_shape() -> None:
    found = told([sine(440, 1.0), sine(440, 0.1)], [])
    assert (found.made.mean_db, found.made.spread_db) == pytest.approx((-13.01, 10.0), abs=0.01)
    assert found.spectrum_db is None
    assert found.octaves[0].difference_db is None
    bright = told([sine(440)], [sine(440) + sine(6000)])
    assert bright.octaves[3].difference_db == pytest.approx(0, abs=0.1)
    assert bright.octaves[7].difference_db is not None
    assert bright.octaves[7].difference_db < -30
    assert bright.shape_db is not None
    assert bright.shape_db > 10
