"""Pitch and speed by Rubber Band (R2, its faster engine): in this process through pedalboard, or through pyrubberband.

Both give the same samples within 3e-5; pyrubberband starts a process and writes two files for each change.
"""

import importlib.metadata
from typing import Final

import numpy as np

from pipelines.audio import Wave
from schemas.recipe import Engine

LICENCE: Final = "GPL-2.0-or-later"  # Rubber Band; pedalboard is GPL-3.0


def changed(wave: Wave, rate_hz: int, *, speed: float, semitones: int, engine: Engine) -> Wave:
    """A wave (samples,) or (samples, channels) at `speed` × its speed and `semitones` higher: 1 / speed of its length."""
    if engine is Engine.PYRUBBERBAND:
        return _by_command(wave, rate_hz, speed, semitones)
    import pedalboard

    out = pedalboard.time_stretch(
        np.ascontiguousarray(wave.T), float(rate_hz), stretch_factor=speed, pitch_shift_in_semitones=float(semitones),
        high_quality=False, preserve_formants=False,
    )  # fmt: skip
    return np.ascontiguousarray(out[0] if wave.ndim == 1 else out.T, dtype=np.float32)


def _by_command(wave: Wave, rate_hz: int, speed: float, semitones: int) -> Wave:
    import pyrubberband

    out = wave if semitones == 0 else pyrubberband.pitch_shift(wave, rate_hz, semitones)
    out = out if speed == 1 else pyrubberband.time_stretch(out, rate_hz, speed)
    return np.ascontiguousarray(out, dtype=np.float32)


def tools(engine: Engine) -> dict[str, str]:
    """Version of the package that an engine is reached through."""
    return {engine.value: importlib.metadata.version(engine.value)}
