"""Copies are proved at other pitches and speeds, and found again among other music by sound alone;
other music is neither.
"""

import numpy as np
import pytest

from pipelines.audio.decode import Wave, resampled
from pipelines.audio.fingerprint import (
    Energies,
    changed_energies,
    changed_fingerprints,
    fingerprint,
)
from pipelines.audio.rubberband import changed
from schemas.recipe import RubberBandEngine
from tests.support.melodies import RATE_HZ, melody
from training.metrics.copies import COPY, SEMITONES, SPEEDS, copy_proofs, yardstick
from training.metrics.patches import patch_vectors

SONG = melody(0, 10)
HZ = 16_000


def energies(wave: Wave) -> Energies:
    return changed_energies(wave, RATE_HZ, (1.0,), (0,))[1.0, 0]


def changed_song(speed: float, semitones: int) -> Wave:
    wave = resampled(SONG, RATE_HZ, HZ)
    engine = RubberBandEngine.PEDALBOARD
    if speed != 1:
        wave = changed(wave, HZ, speed=speed, semitones=0, engine=engine)
    if semitones:
        wave = changed(wave, HZ, speed=1.0, semitones=semitones, engine=engine)
    return wave


@pytest.mark.parametrize(("speed", "semitones"), [(1.0, 0), (1.0, 2), (1.1, 0), (0.83, -3)])
def test_a_copy_is_proved_whatever_its_pitch_and_speed(speed: float, semitones: int) -> None:
    copy = changed_song(speed, semitones)
    [proof] = copy_proofs(changed_energies(copy, HZ, SPEEDS, SEMITONES), [energies(SONG)])
    assert proof.is_copy
    assert proof.semitones == -semitones
    assert proof.speed == pytest.approx(1 / speed, abs=0.02)


def test_other_music_is_no_copy_at_any_pitch_and_speed() -> None:
    changed_one = changed_energies(melody(1, 10), RATE_HZ, SPEEDS[::3], SEMITONES)
    proofs = copy_proofs(changed_one, [energies(melody(seed, 10)) for seed in range(2, 6)])
    assert not any(proof.is_copy for proof in proofs)
    assert max(proof.agreement for proof in proofs) < 0.66


def test_a_blurred_copy_shows_in_its_levels() -> None:
    """Each level is told only within 15 dB: bits flip, and yet it is the same music."""
    rng = np.random.default_rng(0)
    exact_TB = energies(SONG)
    blurred_TB = (exact_TB + 1e-3 * exact_TB.max()) * 10 ** (rng.normal(0, 0.75, exact_TB.shape))
    [proof] = copy_proofs({(1.0, 0): blurred_TB}, [exact_TB])
    assert proof.agreement < COPY
    assert proof.correlation > 0.4
    assert (proof.shift_s, proof.speed, proof.semitones) == (0.0, 1.0, 0)


def test_a_changed_fingerprint_of_no_change_is_the_fingerprint() -> None:
    assert np.array_equal(
        changed_fingerprints(SONG, RATE_HZ, (1.0,), (0,))[1.0, 0], fingerprint(SONG, RATE_HZ)
    )


@pytest.mark.parametrize(("start_s", "semitones"), [(0.0, 0), (0.7, 0), (0.0, 3), (1.1, -2)])
def test_a_patch_is_nearest_to_its_own_song(start_s: float, semitones: int) -> None:
    others = np.concatenate(
        [patch_vectors(melody(seed, 10), RATE_HZ).vectors_ND for seed in range(1, 12)]
    )
    part = changed_song(1.0, semitones)[round(start_s * HZ) :]
    query = patch_vectors(part, HZ).vectors_ND
    own = (query @ patch_vectors(SONG, RATE_HZ).vectors_ND.T).max()
    assert own > (query @ others.T).max() + 0.1


def test_patches_cover_a_clip_and_silence_has_none() -> None:
    assert patch_vectors(SONG, RATE_HZ).starts_s == (0.0, 2.5, 5.0)
    assert patch_vectors(SONG[: 3 * RATE_HZ], RATE_HZ).starts_s == (0.0,)
    vectors = patch_vectors(SONG, RATE_HZ).vectors_ND
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    half_silent = np.concatenate([SONG[: 5 * RATE_HZ], np.zeros(10 * RATE_HZ, np.float32)])
    assert patch_vectors(half_silent, RATE_HZ).starts_s == (0.0, 2.5, 5.0)


def test_one_in_a_hundred_held_out_pieces_lies_beyond_the_yardstick() -> None:
    held_out = [number / 1000 for number in range(300)]
    limit = yardstick(held_out)
    assert sum(similarity > limit for similarity in held_out) == 3
