"""How long a clip sounds, by its energy, beside how long it was asked to.

Shapes: S samples, N frames.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.audio.decode import Wave
from schemas.record import Record

_FRAME_S: Final = 0.05
_BELOW_DB: Final = -40.0  # under the loudest frame: what is left then is no music's
_QUIETEST_DB: Final = -60.0  # of full scale: no frame of a clip that is louder is no sound at all
_NEAR_S: Final = 0.5


def heard_length_s(wave: Wave, rate_hz: int) -> float:
    """When the last frame of 50 ms ends that is heard: at most 40 dB below the loudest one.

    0 for a wave without any sound. A wave is (S,) or (S, 2), within [-1, 1].

    >>> tone = np.sin(np.arange(24_000) * 0.2).astype(np.float32)
    >>> heard_length_s(np.concatenate([tone, 0.001 * tone]), 8000)
    3.0
    """
    size = max(1, round(_FRAME_S * rate_hz))
    power_S = np.asarray(wave, np.float64) ** 2
    power_S = power_S.mean(axis=1) if power_S.ndim == 2 else power_S
    frames = -(-len(power_S) // size)
    padded_S = np.pad(power_S, (0, frames * size - len(power_S)))
    levels_N = 10 * np.log10(padded_S.reshape(frames, size).mean(axis=1) + 1e-12)
    if not frames or levels_N.max() < _QUIETEST_DB:
        return 0.0
    last = int(np.flatnonzero(levels_N >= levels_N.max() + _BELOW_DB)[-1])
    return min((last + 1) * size, len(power_S)) / rate_hz


class AskedLength(NamedTuple):
    """How long a clip was to be, and how long it sounds."""

    asked_s: float
    heard_s: float


class LengthReport(Record):
    """Asked against heard length over clips."""

    clips: int
    median_error_s: float  # of heard minus asked, without its sign
    near: float  # share of clips within half a second
    longer: float  # share that sound longer than that; of others, shorter


def length_report(lengths: Sequence[AskedLength]) -> LengthReport | None:
    """How near heard lengths are to asked ones; none where none was asked.

    >>> asked = [AskedLength(12, 12.1), AskedLength(30, 29.8), AskedLength(6, 9.0)]
    >>> found = length_report(asked)
    >>> found.median_error_s, found.near, found.longer
    (0.2, 0.6667, 0.3333)
    """
    if not lengths:
        return None
    errors_s = np.array([one.heard_s - one.asked_s for one in lengths])
    return LengthReport(
        clips=len(lengths),
        median_error_s=round(float(np.median(np.abs(errors_s))), 3),
        near=round(float(np.mean(np.abs(errors_s) <= _NEAR_S)), 4),
        longer=round(float(np.mean(errors_s > _NEAR_S)), 4),
    )
