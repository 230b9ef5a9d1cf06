"""What variants sound like, measured in the waveform alone and compared with arithmetic done by
hand.

Nothing here reads our labels: clicks are found by their treble, pitches by the spectrum's peaks,
volume by the envelope.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from pipelines.engine.child_process import Death
from pipelines.stages.labels.vary import AugmentRequest, make_copies
from schemas.corpus import Change
from schemas.recipe import RubberBandEngine, VaryRecipe

Wave = npt.NDArray[np.float64]

SOURCE_HZ: Final = 44_100
RATE_HZ: Final = 16_000
START_S: Final = 1.5  # the clip begins here in its file
LENGTH_S: Final = 10.0
EXTENDED_S: Final = 12.5
# 113.2 BPM, from the clip's start to 11.91 s
CLICKS_S: Final = tuple(0.25 + 0.53 * beat for beat in range(23))
CHORDS: Final = (
    (0.0, 4.0, (261.63, 329.63, 392.0)),
    (4.0, 8.0, (220.0, 277.18, 330.0)),
    (8.0, 12.5, (293.66, 369.99, 440.0)),
)
NEAR_S: Final = 0.005
NEAR_CENTS: Final = 5.0
PITCHES: Final = {f"p{'u' if step > 0 else 'd'}{abs(step)}": step for step in (-3, -2, -1, 1, 2, 3)}
SPEEDS: Final = {"s1": 0.75, "s2": 0.9137, "s3": 1.0521, "s4": 1.25, "s5": 0.95, "s6": 1.1234}
VOLUMES: Final = {"v1": (0.1, 1.0), "v2": (1.0, 0.5)}


class MeasuredVariant(NamedTuple):
    """A copy as decoded, and the length that its record states."""

    wave: Wave
    stated_s: float

    @property
    def length_s(self) -> float:
        return len(self.wave) / RATE_HZ


def composed() -> Wave:
    """Three sine chords under clicks: noise at full height from its first sample, which falls by e
    every 1.5 ms.
    """
    time = np.arange(round((START_S + EXTENDED_S + 1.0) * SOURCE_HZ)) / SOURCE_HZ - START_S
    wave = np.zeros(len(time))
    for start_s, end_s, tones in CHORDS:
        inside = (time >= start_s) & (time < end_s)
        wave[inside] += sum(0.06 * np.sin(2 * np.pi * hertz * time[inside]) for hertz in tones)
    signs = np.random.default_rng(1).choice([-1.0, 1.0], (len(CLICKS_S), round(0.01 * SOURCE_HZ)))
    noise = signs * np.exp(-np.arange(signs.shape[1]) / (0.0015 * SOURCE_HZ))
    for click_s, burst in zip(CLICKS_S, noise, strict=True):
        first = round((START_S + click_s) * SOURCE_HZ)
        wave[first : first + len(burst)] += 0.6 * burst
    return wave


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measured") / "piece.flac"
    soundfile.write(path, composed(), SOURCE_HZ, subtype="PCM_16")
    return path


def made(path: Path, changes: Sequence[Change], **settings: Any) -> dict[str, MeasuredVariant]:
    """The real vary path on one clip."""
    order = AugmentRequest("clip", str(path), START_S, LENGTH_S, EXTENDED_S, tuple(changes))
    [copies] = make_copies([order], VaryRecipe(rate_hz=RATE_HZ, **settings))
    assert not isinstance(copies, Death), copies
    variant_audio = {}
    for change, copy in zip(changes, copies, strict=True):
        wave, rate_hz = soundfile.read(io.BytesIO(copy.content), always_2d=True)
        assert (rate_hz, wave.shape[1]) == (RATE_HZ, 1)
        variant_audio[change.variant] = MeasuredVariant(wave[:, 0], copy.duration_s)
    return variant_audio


@pytest.fixture(scope="module")
def copies(source: Path) -> dict[str, MeasuredVariant]:
    return made(source, [Change(), *by_name(PITCHES, "semitones"), *by_name(SPEEDS, "speed")])


def by_name(figures: Mapping[str, float], field: str) -> list[Change]:
    return [
        Change.model_validate({"variant": name, field: figure}) for name, figure in figures.items()
    ]


def clicks_s(wave: Wave) -> list[float]:
    """Where the treble (over 3 kHz) rises to a quarter of each burst's height."""
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(len(wave), 1 / RATE_HZ) < 3000] = 0
    size = round(0.001 * RATE_HZ)
    power = np.convolve(np.fft.irfft(spectrum, len(wave)) ** 2, np.ones(size) / size)[: len(wave)]
    found: list[float] = []
    loud = np.flatnonzero(power > 0.1 * np.median(np.sort(power)[-200:]))
    for sample_index in loud:
        if not found or sample_index / RATE_HZ > found[-1] + 0.1:
            peak = power[sample_index : sample_index + round(0.03 * RATE_HZ)].max()
            found.append(
                (sample_index + int(np.argmax(power[sample_index:] >= peak / 4))) / RATE_HZ
            )
    return found


def tones_hz(wave: Wave, start_s: float, end_s: float) -> list[float]:
    """The three loudest sines between two times, by parabolic interpolation of the log spectrum."""
    part = wave[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
    size = 1 << 16
    level = np.log(np.abs(np.fft.rfft(part * np.hanning(len(part)), size)) + 1e-12)
    level[: round(100 * size / RATE_HZ)] = level[round(800 * size / RATE_HZ) :] = -30.0
    found: list[float] = []
    for _ in range(3):
        top = int(level.argmax())
        before, here, after = level[top - 1 : top + 2]
        found.append((top + (before - after) / (2 * (before - 2 * here + after))) * RATE_HZ / size)
        near = round(12 * size / RATE_HZ)
        level[top - near : top + near] = -30.0
    return sorted(found)


def off_cents(measured_hz: Sequence[float], expected_hz: Sequence[float]) -> float:
    return float(np.abs(1200 * np.log2(np.asarray(measured_hz) / np.asarray(expected_hz))).max())


def check_clicks(variant_audio: MeasuredVariant, rate: float) -> None:
    """A click at t is heard at t / rate, and none but those inside the copy.

    Those within 30 ms of its end may be cut.
    """
    measured = clicks_s(variant_audio.wave)
    expected = [
        click_s / rate for click_s in CLICKS_S if click_s / rate < variant_audio.length_s - 0.03
    ]
    assert len(expected) >= 13
    assert len(measured) in (len(expected), len(expected) + 1), measured
    worst = max(abs(found - hoped) for found, hoped in zip(measured, expected, strict=False))
    assert worst <= NEAR_S, f"{1000 * worst:.1f} ms"


def check_tones(variant_audio: MeasuredVariant, rate: float, semitones: int) -> None:
    """A sine of f Hz is heard at f · 2^(semitones / 12), whatever the speed: the median over the
    gaps between clicks.
    """
    for start_s, end_s, tones in CHORDS:
        gaps = [
            (early / rate + 0.06, late / rate - 0.04)
            for early, late in pairwise(CLICKS_S)
            if start_s <= early and late <= end_s
        ]
        inside = [
            tones_hz(variant_audio.wave, first_s, last_s)
            for first_s, last_s in gaps
            if last_s < variant_audio.length_s
        ]
        if inside:
            expected = [hertz * 2 ** (semitones / 12) for hertz in tones]
            assert off_cents(list(np.median(inside, axis=0)), expected) <= NEAR_CENTS, (
                start_s,
                expected,
            )
    assert variant_audio.length_s > CHORDS[1][0] / rate + 1.0, "fewer than two chords were heard"


def check_length(variant_audio: MeasuredVariant, expected_s: float) -> None:
    assert abs(variant_audio.length_s - expected_s) <= NEAR_S
    assert abs(variant_audio.stated_s - variant_audio.length_s) <= 1e-6


def test_the_measure_finds_clicks_and_tones_where_they_were_written() -> None:
    """The yardstick itself, on the piece as composed, without any of our code."""
    wave = composed()[round(START_S * SOURCE_HZ) :]
    spectrum = np.fft.rfft(wave[: SOURCE_HZ * 12])
    plain = MeasuredVariant(
        np.fft.irfft(spectrum[: 12 * RATE_HZ // 2 + 1], 12 * RATE_HZ) * RATE_HZ / SOURCE_HZ, 12.0
    )
    check_clicks(plain, 1.0)
    check_tones(plain, 1.0, 0)
    late = MeasuredVariant(np.concatenate((np.zeros(round(0.010 * RATE_HZ)), plain.wave)), 12.01)
    with pytest.raises(AssertionError, match="ms"):
        check_clicks(late, 1.0)
    with pytest.raises(AssertionError, match="ms"):
        check_clicks(plain, 1.001)
    with pytest.raises(AssertionError):
        check_tones(plain, 1.0, 1)
    assert off_cents([440.0 * 2 ** (6 / 1200)], [440.0]) > NEAR_CENTS


def test_the_original_sounds_as_it_was(copies: dict[str, MeasuredVariant]) -> None:
    check_clicks(copies["orig"], 1.0)
    check_tones(copies["orig"], 1.0, 0)
    check_length(copies["orig"], LENGTH_S)


@pytest.mark.parametrize(("variant", "semitones"), PITCHES.items())
def test_pitch_moves_every_tone_and_no_click(
    copies: dict[str, MeasuredVariant], variant: str, semitones: int
) -> None:
    check_tones(copies[variant], 1.0, semitones)
    check_clicks(copies[variant], 1.0)
    check_length(copies[variant], LENGTH_S)


@pytest.mark.parametrize(("variant", "rate"), SPEEDS.items())
def test_speed_moves_every_click_and_no_tone(
    copies: dict[str, MeasuredVariant], variant: str, rate: float
) -> None:
    check_clicks(copies[variant], rate)
    check_tones(copies[variant], rate, 0)
    check_length(copies[variant], LENGTH_S)


@pytest.mark.parametrize(
    "change",
    [
        Change(variant="pd3", semitones=-3),
        Change(variant="pu2", semitones=2),
        Change(variant="s1", speed=1.1234),
    ],
)
def test_a_source_without_any_treble_is_moved_as_well(tmp_path: Path, change: Change) -> None:
    """A 16 kHz file, as MusicBench has: Rubber Band's band above 8 kHz is then empty to the last
    bit.
    """
    path = tmp_path / "dark.flac"
    spectrum = np.fft.rfft(composed()[: 14 * SOURCE_HZ])
    dark = np.fft.irfft(spectrum[: 14 * RATE_HZ // 2 + 1], 14 * RATE_HZ) * RATE_HZ / SOURCE_HZ
    soundfile.write(path, dark, RATE_HZ, subtype="PCM_16")
    variant_audio = made(path, [change])[change.variant]
    check_tones(variant_audio, change.speed, change.semitones)
    check_clicks(variant_audio, change.speed)


def test_a_fast_copy_without_music_past_its_end_is_shorter_by_its_speed(source: Path) -> None:
    order = AugmentRequest(
        "clip", str(source), START_S, LENGTH_S, LENGTH_S, (Change(variant="s1", speed=1.25),)
    )
    [copies] = make_copies([order], VaryRecipe(rate_hz=RATE_HZ))
    assert not isinstance(copies, Death)
    [copy] = copies
    wave, _ = soundfile.read(io.BytesIO(copy.content))
    check_length(MeasuredVariant(wave, copy.duration_s), 8.0)
    check_clicks(MeasuredVariant(wave, copy.duration_s), 1.25)


def test_a_slow_copy_fades_out_where_it_is_cut(copies: dict[str, MeasuredVariant]) -> None:
    slow = copies["s1"].wave
    assert abs(slow[-1]) < 1e-3
    # the chord still sounds until then
    assert np.abs(slow[-round(0.1 * RATE_HZ) : -round(0.01 * RATE_HZ)]).max() > 0.1


def test_pyrubberband_gives_the_same_figures(source: Path) -> None:
    changes = [Change(variant="pd2", semitones=-2), Change(variant="s1", speed=1.1234)]
    variant_audio = made(source, changes, engine=RubberBandEngine.PYRUBBERBAND)
    check_tones(variant_audio["pd2"], 1.0, -2)
    check_clicks(variant_audio["pd2"], 1.0)
    check_clicks(variant_audio["s1"], 1.1234)
    check_tones(variant_audio["s1"], 1.1234, 0)
    for copy in variant_audio.values():
        check_length(copy, LENGTH_S)


@pytest.mark.parametrize(("variant", "gains"), VOLUMES.items())
def test_volume_follows_a_straight_line_within_one_percent(
    tmp_path: Path, variant: str, gains: tuple[float, float]
) -> None:
    """A steady tone shows the ramp itself: its envelope is the analytic signal's."""
    path = tmp_path / "tone.wav"
    time = np.arange(round((START_S + EXTENDED_S) * SOURCE_HZ)) / SOURCE_HZ
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 441 * time), SOURCE_HZ, subtype="FLOAT")
    variant_audio = made(path, [Change(variant=variant, gain_start=gains[0], gain_end=gains[1])])[
        variant
    ]
    check_length(variant_audio, LENGTH_S)
    spectrum = np.fft.fft(variant_audio.wave)
    spectrum[len(spectrum) // 2 :] = 0
    envelope = 2 * np.abs(np.fft.ifft(spectrum))
    for second in np.arange(0.5, 10.0, 0.5):  # away from the ends, where the analytic signal rings
        ramp = 0.5 * (gains[0] + (gains[1] - gains[0]) * second / LENGTH_S)
        around = round(second * RATE_HZ)
        assert float(envelope[around - 80 : around + 80].mean()) == pytest.approx(ramp, rel=0.01), (
            second
        )


def test_volume_moves_no_click_and_no_tone(source: Path) -> None:
    variant_audio = made(source, [Change(variant="v1", gain_start=0.5)])["v1"]
    check_clicks(variant_audio, 1.0)
    check_tones(variant_audio, 1.0, 0)


def test_copies_of_stereo_keep_both_channels_in_time(tmp_path: Path) -> None:
    """Left and right carry different tones, and each stays on its side."""
    path = tmp_path / "stereo.flac"
    time = np.arange(round((START_S + EXTENDED_S) * SOURCE_HZ)) / SOURCE_HZ
    soundfile.write(
        path,
        np.stack(
            [0.3 * np.sin(2 * np.pi * 300 * time), 0.3 * np.sin(2 * np.pi * 500 * time)], axis=1
        ),
        SOURCE_HZ,
    )
    order = AugmentRequest(
        "clip",
        str(path),
        START_S,
        LENGTH_S,
        EXTENDED_S,
        (Change(variant="pu1", semitones=1), Change(variant="s1", speed=0.9)),
    )
    [both] = make_copies([order], VaryRecipe(rate_hz=RATE_HZ, channels=2))
    assert not isinstance(both, Death)
    for copy, factor in zip(both, (2 ** (1 / 12), 1.0), strict=True):
        wave, _ = soundfile.read(io.BytesIO(copy.content), always_2d=True)
        assert wave.shape == (round(LENGTH_S * RATE_HZ), 2)
        for channel, hertz in enumerate((300.0, 500.0)):
            level = np.abs(np.fft.rfft(wave[:, channel] * np.hanning(len(wave))))
            assert off_cents([level.argmax() / LENGTH_S], [hertz * factor]) <= NEAR_CENTS
