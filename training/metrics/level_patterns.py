"""How alike two pieces are in what sounds when and where: levels by time and pitch, correlated.

What a net plays of a song that it learned by heart is blurred, and bits of a fingerprint flip where
levels hardly change; levels still rise and fall together.

Shapes: T frames, B bands, S shifts.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.audio.fingerprint import FRAME_HZ, Energies

Floats = npt.NDArray[np.float64]
Change = tuple[float, int]  # speed, and semitones
_FLOOR: Final = 1e-5  # of the loudest band's energy: -50 dB
_LEAST_S: Final = 3.0  # of music in common
_FARTHEST_S: Final = 5.0  # as for fingerprints


class LevelCorrelation(NamedTuple):
    """The largest correlation, and the change of the first piece that gives it: the second then has
    the same music `shift_s` later.
    """

    correlation: float = 0.0
    shift_s: float = 0.0
    speed: float = 1.0
    semitones: int = 0


def level_correlations(
    changed: Mapping[Change, Energies], others: Sequence[Energies]
) -> list[LevelCorrelation]:
    """For each of some pieces its largest correlation with another piece at any change and any
    shift up to 5 s that leaves 3 s, and half of the shorter piece, in common.

    >>> energy_TB = np.random.default_rng(0).random((100, 33))
    >>> level_correlations({(1.0, 0): energy_TB}, [energy_TB])[0].correlation
    1.0
    """
    longest = max((len(energy_TB) for energy_TB in (*changed.values(), *others)), default=0)
    size = 1 << (2 * longest + round(_FARTHEST_S * FRAME_HZ)).bit_length()
    second = [_Levels.of(energy_TB, size) for energy_TB in others]
    best = [LevelCorrelation()] * len(second)
    for (speed, semitones), energy_TB in changed.items():
        first = _Levels.of(energy_TB, size)
        for number, other in enumerate(second):
            value, shift = _best(first, other, size)
            if value > best[number].correlation:
                best[number] = LevelCorrelation(
                    round(value, 4), round(shift / FRAME_HZ, 2), speed, semitones
                )
    return best


class _Levels(NamedTuple):
    """Levels that neither frames nor bands differ in on the mean: spectra over time (B bands,
    frequencies), and the sum of squares before each frame.
    """

    frames: int
    spectrum: npt.NDArray[np.complex128]
    squares: Floats

    @classmethod
    def of(cls, energy_TB: Energies, size: int) -> "_Levels":
        loudest = float(energy_TB.max(initial=0.0)) or 1.0
        level_TB = np.log10(energy_TB.astype(np.float64) / loudest + _FLOOR)
        level_TB -= level_TB.mean(axis=0)
        level_TB -= level_TB.mean(axis=1, keepdims=True)
        squares = np.concatenate(([0.0], np.cumsum((level_TB**2).sum(axis=1))))
        return cls(len(level_TB), np.fft.rfft(level_TB.T, size), squares)


def _best(one: _Levels, other: _Levels, size: int) -> tuple[float, int]:
    farthest = round(_FARTHEST_S * FRAME_HZ)
    shifts = np.arange(-farthest, farthest + 1)
    begin, end = np.maximum(0, -shifts), np.maximum(0, shifts)
    common = np.maximum(0, np.minimum(one.frames - begin, other.frames - end))
    shorter = min(one.frames, other.frames)
    least = max(min(round(_LEAST_S * FRAME_HZ), shorter), shorter // 2, 1)
    products = np.fft.irfft((one.spectrum.conj() * other.spectrum).sum(axis=0), size)[shifts]
    # a piece may end before the music in common would begin: then nothing is in common
    begin, end = np.minimum(begin, one.frames), np.minimum(end, other.frames)
    squares = (one.squares[begin + common] - one.squares[begin]) * (
        other.squares[end + common] - other.squares[end]
    )
    usable = (common >= least) & (squares > 0)
    values = np.where(usable, products / np.sqrt(np.where(usable, squares, 1.0)), 0.0)
    best = int(values.argmax())
    return float(values[best]), int(shifts[best])
