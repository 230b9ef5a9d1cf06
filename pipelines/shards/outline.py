"""The outline of a piece of audio: how loud it is over time, in few numbers, to be drawn."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.audio.decode import Wave, decoded
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput

_COLUMNS_PER_S: Final = 40  # ten seconds in 400 columns, two pixels each on a wide screen
_COLUMNS: Final = (300, 2400)  # the fewest and the most
_FULL: Final = 255
Columns = npt.NDArray[np.uint8]


class Outline(NamedTuple):
    """Peak and level (RMS) of each of some columns of equal time, 255 for full scale."""

    duration_s: float
    peaks: Columns
    levels: Columns


def outline(wave: Wave, rate_hz: int) -> Outline:
    """The outline of a mono wave.

    >>> loud_then_soft = np.r_[np.full(8000, 1.0), np.full(8000, 0.2)].astype(np.float32)
    >>> found = outline(loud_then_soft, 8000)
    >>> len(found.peaks), found.peaks[0], found.levels[-1], found.duration_s
    (300, np.uint8(255), np.uint8(51), 2.0)
    """
    fewest, most = _COLUMNS
    columns = int(np.clip(round(_COLUMNS_PER_S * len(wave) / rate_hz), fewest, most))
    columns = max(1, min(columns, len(wave)))
    starts = np.linspace(0, len(wave), columns, endpoint=False).astype(int)
    sizes = np.diff(np.append(starts, len(wave)))
    plain = np.nan_to_num(wave).astype(np.float64) if len(wave) else np.zeros(1)
    peaks = np.maximum.reduceat(np.abs(plain), starts)
    levels = np.sqrt(np.add.reduceat(plain**2, starts) / np.maximum(sizes, 1))
    return Outline(round(len(wave) / rate_hz, 3), _bytes(peaks), _bytes(levels))


def _bytes(values: npt.NDArray[np.float64]) -> Columns:
    return np.round(np.clip(values, 0, 1) * _FULL).astype(np.uint8)


def outlines(contents: Sequence[bytes], _context: None) -> list[Outline | Death]:
    """Outlines of small files from memory; runs in the child."""
    return [_outline(content) for content in contents]


def _outline(content: bytes) -> Outline | Death:
    try:
        found = decoded(content)
        return outline(found.wave, found.rate_hz)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
