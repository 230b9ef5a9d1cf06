"""A copy is known by its fingerprint whatever its level, noise or cut; other music is not taken for
one.
"""

import io

import numpy as np
import pytest
import soundfile

from pipelines.audio.fingerprint import FRAME_HZ, agreement, fingerprint
from tests.support.melodies import RATE_HZ, melody

SONG = melody(0, 10)


def shared(wave: np.ndarray, rate_hz: int = RATE_HZ) -> float:
    return agreement(fingerprint(SONG, RATE_HZ), fingerprint(wave, rate_hz)).share


def test_a_quieter_copy_agrees_in_nearly_every_bit() -> None:
    assert shared(0.1 * SONG) > 0.99


def test_a_copy_coded_as_mp3_agrees_far_above_the_limit() -> None:
    file = io.BytesIO()
    soundfile.write(file, SONG, RATE_HZ, format="MP3", subtype="MPEG_LAYER_III")
    file.seek(0)
    wave, rate_hz = soundfile.read(file, dtype="float32")
    assert shared(wave, rate_hz) > 0.8


def test_noise_forty_decibels_down_leaves_a_copy_a_copy() -> None:
    noise = 0.002 * np.random.default_rng(1).standard_normal(len(SONG)).astype(np.float32)
    assert shared(SONG + noise) > 0.8


@pytest.mark.parametrize("cut_s", [0.4, 1.23, 3.0])
def test_a_copy_cut_at_its_start_is_found_where_it_stands(cut_s: float) -> None:
    found = agreement(
        fingerprint(SONG, RATE_HZ), fingerprint(SONG[round(cut_s * RATE_HZ) :], RATE_HZ)
    )
    assert found.share > 0.8
    assert found.shift_s == pytest.approx(-cut_s, abs=1 / FRAME_HZ)


def test_other_melodies_agree_by_chance_alone() -> None:
    shares = [shared(melody(seed, 10)) for seed in range(1, 9)]
    assert 0.45 < np.mean(shares) < 0.62
    assert max(shares) < 0.65


def test_silence_agrees_with_nothing() -> None:
    silence = np.zeros(10 * RATE_HZ, np.float32)
    assert shared(silence) < 0.65
    assert agreement(fingerprint(silence, RATE_HZ), fingerprint(silence, RATE_HZ)).share == 0
