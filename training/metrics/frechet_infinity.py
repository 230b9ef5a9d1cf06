"""The Fréchet distance of two sets of equal size, and what it would be of endless ones: FAD∞.

The distance of small sets is too great by about their share of 1/n (Chong and Forsyth, "Effectively
unbiased FID and Inception Score and where to find them", CVPR 2020; of music, Gui et al., "Adapting
Fréchet audio distance for generative music evaluation", ICASSP 2024). So distances at several n are
fitted by a line in 1/n, whose end at 1/n = 0 is reported. Here n is the same on both sides, so that
two halves of one set can be measured alike: what they are apart is the zero of the scale.

Shapes: N, M clips, D dimensions.
"""

from collections.abc import Iterator
from statistics import fmean
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.identity import keyed_rng
from schemas.record import Record
from training.metrics.frechet import frechet_distance

Array = npt.NDArray[np.float64]
LEAST: Final = 12  # vectors a side: of fewer, a line through their distances is a guess
_SIZES: Final = 8  # from a third of the most on, evenly spaced in n
# draws at each size: of one, the line's end moves by chance as much as by the bias it takes off
_DRAWS: Final = 8


class ExtrapolatedDistance(Record):
    """Distances of sets of equal size: at the most vectors that both sides have, and where a line
    in 1/n ends.

    The end may fall below 0, by chance or where distances are no line in 1/n: with fewer vectors
    than dimensions they are not, and only the distance from its zero, measured alike, tells.
    """

    distance: float  # at `most`, squared; the mean over draws
    at_infinity: float  # FAD∞
    straightness: float  # R² of the line: 1 where distances lie on it
    least: int  # the smallest n of the fit
    most: int  # the greatest n, on both sides


class BesideZero(NamedTuple):
    """The distance of two sets, and that of two halves of the reference at the same sizes."""

    apart: ExtrapolatedDistance
    zero: ExtrapolatedDistance


def beside_zero(
    reference_ND: npt.ArrayLike, made_MD: npt.ArrayLike, *, seed: int
) -> BesideZero | None:
    """How far made clips are from a reference, and two halves of the reference from each other.

    Sizes reach up to what both the made set and half of the reference have, so both figures share
    their bias. None where that is fewer than 12. Draws depend on the seed alone.
    """
    reference, made = np.asarray(reference_ND, np.float64), np.asarray(made_MD, np.float64)
    most = min(len(made), len(reference) // 2)
    if most < LEAST:
        return None
    return BesideZero(
        apart=_extrapolated(_pairs_of_sets(reference, made, most, seed), most),
        zero=_extrapolated(_pairs_of_halves(reference, most, seed), most),
    )


def sizes(most: int) -> list[int]:
    """The n of a fit, ascending.

    >>> sizes(50)
    [16, 20, 25, 30, 35, 40, 45, 50]
    """
    spaced = np.linspace(max(2, most // 3), most, _SIZES)
    return sorted({int(size) for size in spaced})


def line_at_zero(sizes_n: npt.ArrayLike, distances: npt.ArrayLike) -> tuple[float, float]:
    """Where the line of distances in 1/n ends at 1/n = 0, and its R².

    >>> line_at_zero([10, 20, 40], [3 + 5 / 10, 3 + 5 / 20, 3 + 5 / 40])
    (3.0, 1.0)
    """
    inverse, found = 1 / np.asarray(sizes_n, np.float64), np.asarray(distances, np.float64)
    slope, end = np.polyfit(inverse, found, 1)
    spread = float(np.sum((found - found.mean()) ** 2))
    missed = float(np.sum((found - end - slope * inverse) ** 2))
    return round(float(end), 9), round(1 - missed / spread, 9) if spread else 1.0


class _DrawnSets(NamedTuple):
    one_ND: Array
    other_ND: Array


def _pairs_of_sets(reference: Array, made: Array, most: int, seed: int) -> Iterator[_DrawnSets]:
    """For each size in order, so many draws of as many vectors from both."""
    for size in sizes(most):
        for draw in range(_DRAWS):
            rng = keyed_rng(seed, f"{size} {draw}", "frechet")
            yield _DrawnSets(
                reference[rng.permutation(len(reference))[:size]],
                made[rng.permutation(len(made))[:size]],
            )


def _pairs_of_halves(reference: Array, most: int, seed: int) -> Iterator[_DrawnSets]:
    """The same of one set: no vector stands on both sides."""
    for size in sizes(most):
        for draw in range(_DRAWS):
            rng = keyed_rng(seed, f"{size} {draw}", "frechet halves")
            order = rng.permutation(len(reference))
            yield _DrawnSets(reference[order[:size]], reference[order[size : 2 * size]])


def _extrapolated(drawn: Iterator[_DrawnSets], most: int) -> ExtrapolatedDistance:
    measured = [frechet_distance(pair.one_ND, pair.other_ND) for pair in drawn]
    tried = sizes(most)
    means = [fmean(measured[start : start + _DRAWS]) for start in range(0, len(measured), _DRAWS)]
    end, straightness = line_at_zero(tried, means)
    return ExtrapolatedDistance(
        distance=round(means[-1], 6),
        at_infinity=round(end, 6),
        straightness=round(straightness, 4),
        least=tried[0],
        most=tried[-1],
    )
