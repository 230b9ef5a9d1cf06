"""Pitch and speed by Rubber Band (R2, its faster engine): in this process through pedalboard, or
through pyrubberband.

Given the same samples both give the same ones within 3e-5; pyrubberband starts a process and hands
over 16-bit files, so quiet detail is lost.
"""

import importlib.metadata
import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.audio.decode import Wave
from schemas.identity import keyed_rng
from schemas.recipe import RubberBandEngine

LICENCE: Final = "GPL-2.0-or-later"  # Rubber Band; pedalboard is GPL-3.0
# Empty bands (music sampled at 16 kHz, synthetic tones) read as transients at every rounding error:
# clicks scatter by 10 ms and pitch is off by up to 40 cents. Noise at -100 dB fills them; with it,
# under 1 ms and 1 cent.
_FLOOR_RMS: Final = 1e-5
# R2 puts transients early where it stretches and late where it squeezes, by this share of its
# window for each unit of stretch: measured on clicks at 16 to 56 kHz, stretch 0.8 to 1.33, spread
# 0.265 to 0.31.
_EARLY: Final = 0.275


def changed(
    wave: Wave, rate_hz: int, *, speed: float, semitones: int, engine: RubberBandEngine
) -> Wave:
    """A wave (samples,) or (samples, channels) at `speed` × its speed and `semitones` higher: 1 /
    speed of its length.
    """
    floor = keyed_rng(0, "rubberband", "noise floor").standard_normal(
        wave.shape, np.float32
    ) * np.float32(_FLOOR_RMS)
    stretch = _by_command if engine is RubberBandEngine.PYRUBBERBAND else _in_process
    out = stretch(wave + floor, rate_hz, speed, semitones)
    return _shifted(
        out, round(_EARLY * _window_samples(rate_hz) * (2 ** (semitones / 12) / speed - 1))
    )


def working_rate_hz(rate_hz: int, semitones: Sequence[int]) -> int:
    """Lowest rate at which the largest downward shift still fills the band of `rate_hz`, in steps
    of 8 kHz.

    >>> working_rate_hz(16_000, (-3, 3)), working_rate_hz(16_000, (1,))
    (24000, 16000)
    """
    needed = rate_hz * 2 ** (max(0, -min(semitones, default=0)) / 12)
    return max(rate_hz, -(-int(needed) // 8000) * 8000 if needed > rate_hz else rate_hz)


def _in_process(wave: Wave, rate_hz: int, speed: float, semitones: int) -> Wave:
    import pedalboard

    out = pedalboard.time_stretch(
        np.ascontiguousarray(wave.T),
        float(rate_hz),
        stretch_factor=speed,
        pitch_shift_in_semitones=float(semitones),
        high_quality=False,
        preserve_formants=False,
    )
    return np.ascontiguousarray(out[0] if wave.ndim == 1 else out.T, dtype=np.float32)


def _by_command(wave: Wave, rate_hz: int, speed: float, semitones: int) -> Wave:
    import pyrubberband

    out = wave if semitones == 0 else pyrubberband.pitch_shift(wave, rate_hz, semitones)
    out = out if speed == 1 else pyrubberband.time_stretch(out, rate_hz, speed)
    return np.ascontiguousarray(out, dtype=np.float32)


def _window_samples(rate_hz: int) -> int:
    """R2's window: 4096 samples at 48 kHz, and the next power of two at other rates."""
    return 1 << math.ceil(math.log2(4096 * rate_hz / 48_000))


def _shifted(wave: Wave, samples: int) -> Wave:
    """A wave later by so many samples (or earlier), of the same length."""
    edge = [(0, 0)] * (wave.ndim - 1)
    if samples >= 0:
        return np.pad(wave, [(samples, 0), *edge])[: len(wave)]
    return np.pad(wave, [(0, -samples), *edge])[-samples:]


def tools(engine: RubberBandEngine) -> dict[str, str]:
    """Version of the package that an engine is reached through."""
    return {engine.value: importlib.metadata.version(engine.value)}
