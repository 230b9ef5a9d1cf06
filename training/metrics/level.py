"""How loud clips are and how their sound is spread over octaves, beside other clips.

Levels are root mean squares in dBFS: 0 for a full-scale square wave, so -3 for a sine of
amplitude 1.

Shapes: S samples, N clips, E = 8 octaves.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.signal

from schemas.record import Record

RATE_HZ: Final = 16_000  # all clips are measured at: what lies above is nobody's to compare
# octaves from 31.25 Hz up to half of that rate
EDGES_HZ: Final = tuple(31.25 * 2**octave for octave in range(9))
FLOOR_DB: Final = -120.0
# below, a clip is silent: its level is no level of music, and counts beside
SILENT_DB: Final = -80.0
_WINDOW: Final = 4096  # samples, 256 ms: bins of 4 Hz, seven in the lowest octave
Wave = npt.NDArray[np.float32]


class ClipLevel(NamedTuple):
    """A clip's level, and that of each octave, all in dBFS."""

    level_db: float
    octaves_db: tuple[float, ...]


class OctaveLevel(Record):
    """Mean levels in one octave over clips, and over clips of the reference."""

    low_hz: float
    high_hz: float
    made_db: float
    reference_db: float | None = None

    @property
    def difference_db(self) -> float | None:
        """How much louder the made clips are."""
        return None if self.reference_db is None else self.made_db - self.reference_db


class MeanLevel(Record):
    """Mean and standard deviation over clips that are not silent."""

    mean_db: float
    spread_db: float
    clips: int
    silent: int  # clips below -80 dBFS, which are not in the mean


class LevelReport(Record):
    """Level and spectrum of clips, beside the reference's where there is one."""

    made: MeanLevel
    reference: MeanLevel | None = None
    octaves: tuple[OctaveLevel, ...]
    # root mean square over octaves of the differences: with the level, and without what all
    # octaves share
    spectrum_db: float | None = None
    shape_db: float | None = None


def clip_level(wave_S: Wave) -> ClipLevel:
    """The level of a mono wave at 16 kHz and of its octaves; -120 dB at the least.

    >>> seconds = np.arange(16_000) / 16_000
    >>> found = clip_level(np.sin(2 * np.pi * 375 * seconds).astype(np.float32))
    >>> round(found.level_db, 2), [round(one) for one in found.octaves_db].index(-3)
    (-3.01, 3)
    """
    wave = np.asarray(wave_S, np.float64)
    if not wave.any():
        return ClipLevel(FLOOR_DB, (FLOOR_DB,) * (len(EDGES_HZ) - 1))
    hz, density = scipy.signal.welch(wave, RATE_HZ, nperseg=min(_WINDOW, len(wave)), detrend=False)
    power = density * (hz[1] - hz[0])
    octaves = [float(power[(hz >= low) & (hz < high)].sum()) for low, high in pairwise(EDGES_HZ)]
    return ClipLevel(_db(float(np.mean(wave**2))), tuple(map(_db, octaves)))


def _db(power: float) -> float:
    return max(FLOOR_DB, 10 * float(np.log10(power))) if power > 0 else FLOOR_DB


def level_report(
    made: Sequence[ClipLevel], reference: Sequence[ClipLevel] = ()
) -> LevelReport | None:
    """Levels of clips beside those of a reference; none where no clip sounds."""
    loud = _sounding(made)
    if not loud:
        return None
    beside = _sounding(reference)
    means = np.mean([one.octaves_db for one in loud], axis=0)
    found = LevelReport(made=_mean_level(made, loud), octaves=_octaves(means, None))
    if not beside:
        return found
    others = np.mean([one.octaves_db for one in beside], axis=0)
    apart = means - others
    return found.replaced(
        reference=_mean_level(reference, beside),
        octaves=_octaves(means, others),
        spectrum_db=round(_rms(apart), 2),
        shape_db=round(_rms(apart - apart.mean()), 2),
    )


def _sounding(levels: Sequence[ClipLevel]) -> list[ClipLevel]:
    return [one for one in levels if one.level_db > SILENT_DB]


def _mean_level(given: Sequence[ClipLevel], loud: Sequence[ClipLevel]) -> MeanLevel:
    levels = [one.level_db for one in loud]
    return MeanLevel(
        mean_db=round(fmean(levels), 2),
        spread_db=round(pstdev(levels), 2),
        clips=len(loud),
        silent=len(given) - len(loud),
    )


def _octaves(
    means: npt.NDArray[np.float64], others: npt.NDArray[np.float64] | None
) -> tuple[OctaveLevel, ...]:
    rows = enumerate(pairwise(EDGES_HZ))
    return tuple(
        OctaveLevel(
            low_hz=low,
            high_hz=high,
            made_db=round(float(means[index]), 2),
            reference_db=None if others is None else round(float(others[index]), 2),
        )
        for index, (low, high) in rows
    )


def _rms(values: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))
