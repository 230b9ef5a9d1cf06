"""How each instrument sounds: one note or stroke at a time, float64, from its first sample."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.synthesis.score import Drum
from schemas.identity import keyed_rng

Wave = NDArray[np.float64]


def hertz(pitch: int) -> float:
    """Frequency of a MIDI pitch.

    >>> hertz(69)
    440.0
    """
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


def strings(pitch: int, length_s: float, rate_hz: int) -> Wave:
    """A plucked string, damped over 60 ms at its end."""
    return _faded(_string(pitch, rate_hz, length_s), rate_hz, 0.06)


def organ(pitch: int, length_s: float, rate_hz: int) -> Wave:
    """Four drawbars of an organ: unison, octave, twelfth and double octave; a soft key click."""
    phase = 2 * np.pi * hertz(pitch) / rate_hz * np.arange(round(length_s * rate_hz))
    wave = sum(
        (
            gain * np.sin(number * phase)
            for number, gain in ((1, 1.0), (2, 0.5), (3, 0.12), (4, 0.15))
        ),
        np.zeros(1),
    )
    edge = np.minimum(1.0, np.arange(wave.size) / (0.012 * rate_hz))
    return _faded(0.45 * wave * edge, rate_hz, 0.05)


def bass(pitch: int, length_s: float, rate_hz: int) -> Wave:
    """A round bass: five harmonics, each dying sooner than the one below."""
    time_s = np.arange(round(length_s * rate_hz)) / rate_hz
    turn = 2 * np.pi * hertz(pitch) * time_s
    wave = sum(
        (0.7**number * np.exp(-number * time_s) * np.sin(number * turn) for number in range(1, 6)),
        np.zeros(1),
    )
    return _faded(wave * np.minimum(1.0, time_s / 0.004), rate_hz, 0.05)


@cache
def drum(kind: Drum, rate_hz: int) -> Wave:
    """One stroke: a kick falls from 150 to 45 Hz, a snare is noise over 190 Hz, a hat is the top of
    a burst of noise.
    """
    time_s = (
        np.arange(round({Drum.KICK: 0.25, Drum.SNARE: 0.2, Drum.HAT: 0.08}[kind] * rate_hz))
        / rate_hz
    )
    noise = keyed_rng(0, kind, "noise").uniform(-1, 1, time_s.size)
    fall = 1 - time_s / time_s[-1]  # down to exactly nothing at the end
    if kind is Drum.KICK:
        # the integral of 45 + 105 exp(-t / 30 ms) Hz
        turns = 45 * time_s + 105 * 0.03 * (1 - np.exp(-time_s / 0.03))
        return np.asarray(
            fall
            * (
                np.cos(2 * np.pi * turns) * np.exp(-time_s / 0.09)
                + 0.3 * noise * np.exp(-time_s / 0.004)
            )
        )
    if kind is Drum.SNARE:
        return np.asarray(
            fall
            * (
                0.6 * noise * np.exp(-time_s / 0.06)
                + 0.4 * np.cos(2 * np.pi * 190 * time_s) * np.exp(-time_s / 0.04)
            )
        )
    # a high-pass of two zeros at 0 Hz
    bright = np.diff(np.diff(noise, prepend=0.0), prepend=0.0) / 4
    return np.asarray(fall * bright * np.exp(-time_s / 0.02))


def _string(pitch: int, rate_hz: int, length_s: float) -> Wave:
    """Karplus and Strong's string: a burst of noise goes round a delay line and loses its top on
    every turn.

    K. Karplus and A. Strong, "Digital synthesis of plucked-string and drum timbres", CMJ 7(2),
    1983. Their average of two neighbours is three here, whose outer weights tune the string between
    whole samples.
    """
    period = rate_hz / hertz(pitch)
    whole = round(period)
    offset = period - whole
    keep = 0.001 ** (1 / (hertz(pitch) * 3.5))  # -60 dB after 3.5 s
    before, middle, after = keep * (0.25 - offset / 2), keep * 0.5, keep * (0.25 + offset / 2)
    size = round(length_s * rate_hz)
    wave = np.zeros(size + 2 * whole)
    wave[:whole] = _burst(pitch, whole, rate_hz)
    step = whole - 1  # each turn needs the sample after the one a whole period ago
    for start in range(whole, size, step):
        ago = start - whole
        older = wave[ago - 1 : ago - 1 + step] if ago else np.concatenate(([0.0], wave[: step - 1]))
        wave[start : start + step] = (
            before * wave[ago + 1 : ago + 1 + step]
            + middle * wave[ago : ago + step]
            + after * older
        )
    return wave[:size]


def _burst(pitch: int, size: int, rate_hz: int) -> Wave:
    """One period of noise with the spectrum of a pluck; white noise would leave some strings
    without a fundamental.
    """
    turns = keyed_rng(0, f"{pitch}-{rate_hz}", "pluck").uniform(0, 2 * np.pi, size // 2 + 1)
    harmonics = np.arange(size // 2 + 1)
    # a plucked string's overtones fall like 1/n
    levels = np.where(harmonics > 0, 1 / np.maximum(harmonics, 1), 0.0)
    burst = np.fft.irfft(levels * np.exp(1j * turns), size)
    return np.asarray(0.5 * burst / np.sqrt(np.mean(burst**2)))


def _faded(wave: Wave, rate_hz: int, fade_s: float) -> Wave:
    """The wave brought to nothing over its last `fade_s`."""
    size = min(wave.size, round(fade_s * rate_hz))
    faded = wave.copy()
    faded[wave.size - size :] *= np.linspace(1.0, 0.0, size)
    return faded
