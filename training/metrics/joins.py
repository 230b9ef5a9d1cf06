"""Joins: is anything heard where two sounds meet, and does a loop go round?"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

_FRAME_S: Final = 0.032
_HOP_S: Final = 0.008
_FLOOR_DB: Final = -80.0  # of full scale: below, bins have no level to rise from
_NEAR_S: Final = 0.032  # a click is heard in frames this near
_EDGE_S: Final = 0.5  # of a loop, on both sides of its seam
_FREE: Final = 0.95  # share of a piece's own moments that a join may be as strong as


class JoinFigure(NamedTuple):
    """How abrupt a join is: the rise of the spectrum there in dB, mean over bins; the 95th
    percentile of that within the piece; and the share of the piece's moments that rise less.
    """

    at_s: float
    flux_db: float
    limit_db: float
    share: float

    @property
    def is_free(self) -> bool:
        """Whether nothing sticks out."""
        return self.flux_db <= self.limit_db


def spectral_flux(wave: Wave, rate_hz: int) -> Numbers:
    """How much the spectrum rises from frame to frame, in dB, mean over bins: one each 8 ms."""
    size, hop = round(_FRAME_S * rate_hz), round(_HOP_S * rate_hz)
    padded = np.pad(np.asarray(wave, np.float64), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: len(wave) // hop + 1]
    window = np.hanning(size)
    spectra = np.abs(np.fft.rfft(frames * window)) / (window.sum() / 2)
    level_db = 20 * np.log10(np.maximum(spectra, 10 ** (_FLOOR_DB / 20)))
    rise: Numbers = np.maximum(0, np.diff(level_db, axis=0, prepend=level_db[:1])).mean(1)
    return rise


def join_figures(wave: Wave, rate_hz: int, joins_s: Sequence[float]) -> tuple[JoinFigure, ...]:
    """Each join beside the other moments of its piece, as far away as are not of a join.

    >>> noise = np.random.default_rng(0).normal(size=32000).astype(np.float32) / 10
    >>> noise[16000:] *= np.where(np.arange(16000) < 200, 9, 1)  # a click
    >>> [one.is_free for one in join_figures(noise, 16000, (0.5, 1.0))]
    [True, False]
    """
    highest = _running_max(spectral_flux(wave, rate_hz), round(_NEAR_S / _HOP_S))
    at_N = np.arange(len(highest)) * round(_HOP_S * rate_hz) / rate_hz
    apart = [np.abs(at_N - one) > 2 * _NEAR_S for one in joins_s]
    inside = highest[np.all(apart, axis=0)] if apart else highest
    out = list[JoinFigure]()
    for at_s in joins_s:
        flux = float(highest[int(np.abs(at_N - at_s).argmin())])
        limit = float(np.quantile(inside, _FREE)) if len(inside) else 0.0
        share = float(np.mean(inside < flux)) if len(inside) else 0.0
        out.append(JoinFigure(at_s, round(flux, 3), round(limit, 3), round(share, 4)))
    return tuple(out)


def _running_max(values: Numbers, side: int) -> Numbers:
    padded = np.pad(values, side)
    found: Numbers = np.lib.stride_tricks.sliding_window_view(padded, 2 * side + 1).max(1)
    return found


def seam_similarity(wave: Wave, rate_hz: int) -> float:
    """How alike the spectra before a loop's end and after its beginning are: the correlation of
    their levels in dB, mean over half a second each, from -1 to 1.
    """
    size = round(_EDGE_S * rate_hz)
    ends = [_mean_level(wave[-size:], rate_hz), _mean_level(wave[:size], rate_hz)]
    return round(_correlation(*ends), 4)


def inner_similarity(wave: Wave, rate_hz: int) -> float:
    """The same of each half second and the next within a piece: what a seam could be; the mean."""
    size = round(_EDGE_S * rate_hz)
    levels = [
        _mean_level(wave[start : start + size], rate_hz)
        for start in range(0, len(wave) - size + 1, size)
    ]
    found = [_correlation(one, other) for one, other in pairwise(levels)]
    return round(float(np.mean(found)), 4) if found else 1.0


def _mean_level(wave: Wave, rate_hz: int) -> Numbers:
    size = round(_FRAME_S * rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(wave, np.float64), size)
    power = np.square(np.abs(np.fft.rfft(frames[:: size // 2] * np.hanning(size)))).mean(0)
    level: Numbers = 10 * np.log10(power + 1e-10)
    return level


def _correlation(one: Numbers, other: Numbers) -> float:
    both = [part - part.mean() for part in (one, other)]
    size = float(np.sqrt(np.sum(both[0] ** 2) * np.sum(both[1] ** 2)))
    return float(np.sum(both[0] * both[1]) / size) if size else 1.0


def beat_phase_error_s(beats_s: Sequence[float], loop_s: float) -> float | None:
    """How far the first beat after a loop's seam is from where the beats before it lead: the loop's
    length against whole beats, as these lie within it. None for fewer than four beats.

    >>> beat_phase_error_s((0.25, 0.75, 1.25, 1.75), 2.0), beat_phase_error_s((0, 0.5, 1, 1.5), 2.1)
    (0.0, 0.1)
    """
    if len(beats_s) < 4:
        return None
    beat_s = median(later - earlier for earlier, later in pairwise(beats_s))
    places = np.round((np.asarray(beats_s) - beats_s[0]) / beat_s)
    slope = float(np.polyfit(places, beats_s, 1)[0])
    return round(abs(loop_s - round(loop_s / slope) * slope), 4)
