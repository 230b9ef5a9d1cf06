"""Ninety-five per cent intervals of shares and means."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from schemas.identity import keyed_rng

_Z: Final = 1.959963984540054  # the normal distribution holds 95 % within so many deviations
_LEVEL: Final = (2.5, 97.5)  # per cent
_AT_ONCE: Final = 1_000_000  # values drawn at once
# Efron and Tibshirani (1993): at least 1000 for the ends of a percentile interval
RESAMPLES: Final = 2000


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def share_interval(hits: float, clips: int) -> Interval:
    """A share with Wilson's score interval (1927): it holds for few clips, and for none or all of
    them. Needs at least one clip.

    >>> tuple(round(end, 3) for end in share_interval(5, 10))
    (0.5, 0.237, 0.763)
    >>> tuple(round(end, 3) for end in share_interval(3, 3))
    (1.0, 0.439, 1.0)
    """
    share, extra = hits / clips, _Z**2 / clips
    middle = (share + extra / 2) / (1 + extra)
    half = _Z / (1 + extra) * math.sqrt(share * (1 - share) / clips + extra / (4 * clips))
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def mean_interval(
    values: Sequence[float], seed: int, name: str, *, within_unit: bool = True
) -> Interval:
    """A mean with the percentile interval of a bootstrap over clips, its draws keyed by seed and
    name. Needs at least one value.

    Where all values are equal a bootstrap sees no spread. For values `within_unit`, 0 to 1,
    Wilson's interval then stands in, which is never too narrow for them; for others the interval is
    a point, and tells nothing. Of few clips a bootstrap's is somewhat narrow.

    >>> mean_interval([0.0, 0.5, 1.0], 0, "ECM") == mean_interval([0.0, 0.5, 1.0], 0, "ECM")
    True
    """
    rows = np.asarray(values, np.float64)
    mean = float(rows.mean())
    if rows.min() == rows.max():
        return (
            share_interval(mean * len(rows), len(rows))
            if within_unit
            else Interval(mean, mean, mean)
        )
    rng = keyed_rng(seed, name, "bootstrap")
    at_once = max(1, _AT_ONCE // len(rows))
    sizes = [min(at_once, RESAMPLES - done) for done in range(0, RESAMPLES, at_once)]
    means = [rows[rng.integers(len(rows), size=(size, len(rows)))].mean(axis=1) for size in sizes]
    low, high = np.percentile(np.concatenate(means), _LEVEL)
    return Interval(mean, min(float(low), mean), max(float(high), mean))
