"""Controls say what sounds: against levels, loudnesses, tunes and strokes that are known by
construction.
"""

import io
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.audio.controls import controls_of
from pipelines.audio.decode import Wave, decoded
from pipelines.engine.child_process import Death
from pipelines.stages.labels.vary import AugmentRequest, Copy, make_copies
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from schemas.controls import NO_PITCH, AudioControls
from schemas.corpus import Change
from schemas.recipe import VaryRecipe

RATE_HZ = 16_000
RATES_HZ = (4_000, 8_000, 16_000, 22_050, 44_100, 48_000, 192_000)
TUNE = (0, 4, 7, 5, 2, 11, 9, 7, 0, NO_PITCH)  # a pitch class a second, then a rest


def tone(peak_db: float, length_s: float, hertz: float = 1000.0, rate_hz: int = 48_000) -> Wave:
    time = np.arange(round(length_s * rate_hz)) / rate_hz
    return (10 ** (peak_db / 20) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def both(*parts: Wave) -> Wave:
    """The same in two channels."""
    return np.repeat(np.concatenate(parts)[:, None], 2, axis=1)


def tune(pitch_classes: Sequence[int] = TUNE, rate_hz: int = RATE_HZ, cents: float = 0.0) -> Wave:
    """A note a second from middle C up, each with six harmonics and a bass an octave and a half
    below that is twice as loud.
    """
    time = np.arange(rate_hz) / rate_hz
    rise = np.minimum(1, time / 0.01) * np.minimum(1, (1 - time) / 0.01)
    notes = []
    for pitch_class in pitch_classes:
        hertz = 440 * 2 ** ((60 + pitch_class - 69 + cents / 100) / 12)
        above = sum(
            np.sin(2 * np.pi * hertz * harmonic * time) / harmonic**1.5 for harmonic in range(1, 7)
        )
        notes.append(
            np.zeros(rate_hz)
            if pitch_class == NO_PITCH
            else rise * (0.1 * above + 0.2 * np.sin(2 * np.pi * 82.4 * time))
        )
    return np.concatenate(notes).astype(np.float32)


def strokes(count: int, length_s: float = 10.0, *, noise: float = 0.0) -> Wave:
    """Short bursts at even distances, over hiss."""
    rng = np.random.default_rng(count)
    wave = noise * rng.standard_normal(round(length_s * RATE_HZ))
    for place in range(count):
        first = round((place + 0.5) / count * len(wave))
        wave[first : first + 400] += 0.3 * rng.standard_normal(400) * np.exp(-np.arange(400) / 80)
    return wave.astype(np.float32)


def shares(found: AudioControls) -> tuple[float, float, float, float]:
    return found.music_share, found.speech_share, found.noise_share, found.silence_share


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("peak_db", [-23.0, -33.0])
def test_loudness_of_a_sine_in_both_channels_is_its_peak_level(
    peak_db: float, rate_hz: int
) -> None:
    """EBU Tech 3341, cases 1 and 2; at 4 kHz the filters' warped slope costs 0.2 LU."""
    found = controls_of(both(tone(peak_db, 20, rate_hz=rate_hz)), rate_hz).loudness_lufs
    assert found == pytest.approx(peak_db, abs=0.21 if rate_hz < 8_000 else 0.1)


@pytest.mark.parametrize(
    ("parts", "loudness_lufs"),
    [
        (((-36, 10), (-23, 60), (-36, 10)), -23),  # case 3: the relative gate
        # case 4: the absolute gate too
        (((-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)), -23),
        (((-26, 20), (-20, 20.1), (-26, 20)), -23),  # case 5: nothing is gated
    ],
)
def test_loudness_is_gated_as_ebu_tech_3341_has_it(
    parts: tuple[tuple[float, float], ...], loudness_lufs: float
) -> None:
    wave = both(*(tone(*part) for part in parts))
    assert controls_of(wave, 48_000).loudness_lufs == pytest.approx(loudness_lufs, abs=0.1)


def test_loudness_of_one_full_channel_is_3_lu_under_full_scale() -> None:
    """ITU-R BS.1770-4, annex 1: 0 dB at 997 Hz in one channel is -3.01 LKFS."""
    assert controls_of(tone(0, 5, 997), 48_000).loudness_lufs == -3.0


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_dynamics_of_a_steady_sine_are_its_rms_level_in_every_frame(rate_hz: int) -> None:
    assert set(controls_of(tone(-20, 3, rate_hz=rate_hz), rate_hz).dynamics_db) == {-23.0}


def test_dynamics_of_a_step_go_from_one_level_to_the_other_in_a_second_without_overshoot() -> None:
    curve = np.array(controls_of(np.concatenate([tone(-40, 3), tone(-10, 3)]), 48_000).dynamics_db)
    assert (curve[0], curve[24], curve[35], curve[-1]) == (-43.0, -43.0, -13.0, -13.0)
    assert np.all(np.diff(curve) >= 0)
    assert curve.max() == -13.0


def test_dynamics_of_a_rest_between_sounds_reach_the_floor_and_not_beyond() -> None:
    rest = np.zeros(3 * 48_000, np.float32)
    curve = controls_of(np.concatenate([tone(-10, 3), rest, tone(-10, 3)]), 48_000).dynamics_db
    assert (min(curve), max(curve), curve[45]) == (-120.0, -13.0, -120.0)


@pytest.mark.parametrize(
    ("rate_hz", "cents"), [(8_000, 0), (16_000, 0), (44_100, 0), (16_000, 40), (16_000, -40)]
)
def test_melody_of_a_tune_over_a_louder_bass_is_the_tunes_pitch_classes_in_any_tuning(
    rate_hz: int, cents: float
) -> None:
    melody = controls_of(tune(rate_hz=rate_hz, cents=cents), rate_hz).melody
    inner = [melody[10 * second + 2 : 10 * second + 8] for second in range(10)]
    assert inner == [(pitch_class,) * 6 for pitch_class in TUNE]


@pytest.mark.parametrize("count", [5, 12, 40, 80])
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_every_stroke_is_an_onset_and_nothing_else_is(count: int, noise: float) -> None:
    assert controls_of(strokes(count, noise=noise), RATE_HZ).onsets_per_s == count / 10


@pytest.mark.parametrize("depth_cents", [0, 50])
def test_a_held_note_has_no_onset_with_or_without_vibrato(depth_cents: float) -> None:
    time = np.arange(5 * RATE_HZ) / RATE_HZ
    hertz = 440 * 2 ** (depth_cents / 1200 * np.sin(2 * np.pi * 5.5 * time))
    assert (
        controls_of(
            (0.5 * np.sin(2 * np.pi * np.cumsum(hertz) / RATE_HZ)).astype(np.float32), RATE_HZ
        ).onsets_per_s
        == 0
    )


@pytest.mark.parametrize("index", range(4))
def test_onsets_of_a_piece_are_within_5_percent_as_many_as_moments_at_which_something_is_struck(
    index: int,
) -> None:
    score = compose(index, 0)
    beats = [note.beat for note in score.notes] + [hit.beat for hit in score.hits]
    truth = sorted({round(score.seconds(beat), 3) for beat in beats})
    wave = render(score, RATE_HZ)
    moments = 1 + sum(later - earlier > 0.05 for earlier, later in pairwise(truth))
    assert controls_of(wave, RATE_HZ).onsets_per_s * len(wave) / RATE_HZ == pytest.approx(
        moments, rel=0.05
    )


@pytest.mark.parametrize("length", [1, 2, 1599, 1600, 1601, 48_000])
@pytest.mark.parametrize("rate_hz", [4_000, 16_000, 192_000])
def test_silence_is_silence_of_any_length(length: int, rate_hz: int) -> None:
    found = controls_of(np.zeros(length, np.float32), rate_hz)
    frames = -(-length * 10 // rate_hz)
    assert (found.dynamics_db, found.melody) == ((-120.0,) * frames, (NO_PITCH,) * frames)
    assert (found.loudness_lufs, found.onsets_per_s, shares(found)) == (
        -70.0,
        0.0,
        (0.0, 0.0, 0.0, 1.0),
    )


def test_one_sample_of_sound_is_one_frame_at_its_level() -> None:
    assert controls_of(np.array([0.1], np.float32), RATE_HZ).dynamics_db == (-20.0,)


def test_half_silence_is_half_silence() -> None:
    assert shares(
        controls_of(np.concatenate([tune(TUNE[:5]), np.zeros(5 * RATE_HZ, np.float32)]), RATE_HZ)
    ) == (0.5, 0.0, 0.0, 0.5)


def test_samples_that_are_no_numbers_count_as_silence() -> None:
    assert controls_of(np.full(RATE_HZ, np.nan, np.float32), RATE_HZ).silence_share == 1.0


@pytest.mark.parametrize("slope", [0.0, -0.5, -1.0])
def test_white_pink_and_brown_noise_are_noise(slope: float) -> None:
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(10 * RATE_HZ))
    wave = np.fft.irfft(
        spectrum * np.maximum(np.fft.rfftfreq(10 * RATE_HZ, 1 / RATE_HZ), 20) ** slope
    )
    assert (
        controls_of((0.1 * wave / wave.std()).astype(np.float32).clip(-1, 1), RATE_HZ).noise_share
        == 1.0
    )


@pytest.mark.parametrize("index", range(4))
def test_composed_pieces_are_music(index: int) -> None:
    found = controls_of(render(compose(index, 0), RATE_HZ), RATE_HZ)
    assert found.music_share > 0.95


@pytest.mark.skipif(
    shutil.which("espeak-ng") is None,
    reason="needs a synthesiser of speech: apt-get install espeak-ng",
)
@pytest.mark.parametrize("voice", ["da+m7", "ko", "fa+Linda"])  # none of them was in the fit
def test_speech_is_speech(voice: str, tmp_path: Path) -> None:
    text = (
        "A long sentence about nothing at all, and then another "
        "that is spoken at the same pace, without a tune."
    )
    subprocess.run(["espeak-ng", "-v", voice, "-w", str(tmp_path / "said.wav"), text], check=True)
    wave, rate_hz = soundfile.read(tmp_path / "said.wav", dtype="float32")
    found = controls_of(wave, rate_hz)
    assert found.speech_share > 4 * (found.music_share + found.noise_share)


def test_two_channels_in_antiphase_are_heard() -> None:
    wave = np.stack([tune(), -tune()], axis=1)
    mono = controls_of(tune(), RATE_HZ)
    found = controls_of(wave, RATE_HZ)
    assert (found.melody, found.dynamics_db, found.onsets_per_s) == (
        mono.melody,
        mono.dynamics_db,
        mono.onsets_per_s,
    )
    assert found.loudness_lufs == pytest.approx(mono.loudness_lufs + 3, abs=0.11)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Copy]:
    """Variants of a tune of twelve seconds, of which ten are the clip."""
    path = tmp_path_factory.mktemp("controls") / "tune.flac"
    soundfile.write(path, tune((*TUNE[:9], 4, 2, 0), 44_100), 44_100)
    changes = (
        Change(),
        Change(variant="pu2", semitones=2),
        Change(variant="pd3", semitones=-3),
        Change(variant="s1", speed=0.8),
        Change(variant="s4", speed=1.2),
        Change(variant="v1", gain_start=0.1),
        Change(variant="v2", gain_end=0.25),
    )
    [made] = make_copies(
        [AugmentRequest("clip", str(path), 0.0, 10.0, 12.0, changes)], VaryRecipe()
    )
    assert not isinstance(made, Death)
    return dict(zip((change.variant for change in changes), made, strict=True))


def test_controls_are_those_of_the_stored_audio_to_the_last_digit(copies: dict[str, Copy]) -> None:
    for copy in copies.values():
        measured = decoded(copy.content)
        assert controls_of(measured.wave, measured.rate_hz) == copy.controls


@pytest.mark.parametrize(
    ("variant", "gain_start", "gain_end"), [("v1", 0.1, 1.0), ("v2", 1.0, 0.25)]
)
def test_dynamics_of_a_volume_variant_are_the_originals_on_its_ramp(
    copies: dict[str, Copy], variant: str, gain_start: float, gain_end: float
) -> None:
    plain, ramped = (np.array(copies[name].controls.dynamics_db) for name in ("orig", variant))
    middles = (np.arange(100) + 0.5) / 100
    expected = 20 * np.log10(gain_start + (gain_end - gain_start) * middles)
    assert ramped[5:-5] - plain[5:-5] == pytest.approx(expected[5:-5], abs=0.5)
    assert copies[variant].controls.melody == copies["orig"].controls.melody


@pytest.mark.parametrize(("variant", "semitones"), [("pu2", 2), ("pd3", -3)])
def test_melody_of_a_pitch_variant_is_the_originals_moved(
    copies: dict[str, Copy], variant: str, semitones: int
) -> None:
    plain, moved = (np.array(copies[name].controls.melody) for name in ("orig", variant))
    assert np.mean(moved == (plain + semitones) % 12) > 0.95


@pytest.mark.parametrize(("variant", "speed"), [("s1", 0.8), ("s4", 1.2)])
def test_melody_of_a_speed_variant_runs_at_its_speed(
    copies: dict[str, Copy], variant: str, speed: float
) -> None:
    notes = [
        TUNE[:9][int(second)] if second < 9 else (4, 2, 0)[int(second) - 9]
        for second in (np.arange(100) + 0.5) / 10 * speed
    ]
    found = copies[variant].controls.melody
    assert len(found) == 100
    assert np.mean(np.array(found) == notes) > 0.9


def test_curves_are_as_long_as_their_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.flac", tune(TUNE[:4]), RATE_HZ)
    order = AugmentRequest(
        "clip",
        str(tmp_path / "short.flac"),
        0.0,
        4.0,
        4.0,
        (Change(), Change(variant="s4", speed=1.25)),
    )
    [made] = make_copies([order], VaryRecipe())
    assert not isinstance(made, Death)
    assert [len(copy.controls.dynamics_db) for copy in made] == [40, 32]
    assert [soundfile.info(io.BytesIO(copy.content)).frames for copy in made] == [64_000, 51_200]
