"""Fréchet distance between two sets of embeddings, each taken as a Gaussian (Fréchet audio
distance: Kilgour et al., Interspeech 2019).

Shapes: N, M clips, D dimensions, R rows of a factor.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError

Array = npt.NDArray[np.float64]


class Gaussian(NamedTuple):
    """A mean (D,) and a factor F (R, D) of its covariance, which is Fᵀ F."""

    mean: Array
    factor: Array


def fitted(vectors_ND: npt.ArrayLike) -> Gaussian:
    """The Gaussian of a set of vectors, with the unbiased covariance.

    Its factor has no more rows than dimensions or vectors, so fewer vectors than dimensions will
    do: the covariance then has the rank that the vectors give it. Raises `TrainingError` for fewer
    than two vectors, and for values that are not finite.
    """
    rows = np.asarray(vectors_ND, np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise TrainingError(
            "a Fréchet distance needs two sets of at least "
            f"two vectors, not one shaped {rows.shape}"
        )
    if not np.isfinite(rows).all():
        raise TrainingError("a Fréchet distance needs finite vectors")
    mean = rows.mean(axis=0)
    centred = (rows - mean) / np.sqrt(len(rows) - 1)
    factor: Array = (
        np.asarray(np.linalg.qr(centred, mode="r")) if len(rows) > rows.shape[1] else centred
    )
    return Gaussian(mean, factor)


def of_moments(mean_D: npt.ArrayLike, covariance_DD: npt.ArrayLike) -> Gaussian:
    """A Gaussian by its moments; the covariance is symmetric, and eigenvalues that rounding made
    negative count as 0.
    """
    values, vectors = np.linalg.eigh(np.asarray(covariance_DD, np.float64))
    factor: Array = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    return Gaussian(np.asarray(mean_D, np.float64), factor)


def distance(one: Gaussian, other: Gaussian) -> float:
    """The squared 2-Wasserstein distance of two Gaussians: |μ₁ − μ₂|² + tr C₁ + tr C₂ − 2 tr (C₁
    C₂)^½ (Dowson and Landau, 1982).

    With Cᵢ = Fᵢᵀ Fᵢ the last trace is the sum of the singular values of F₁ F₂ᵀ: no root of a matrix
    is taken, so nothing is added to covariances to make them regular.

    >>> round(distance(of_moments([0.0], [[4.0]]), of_moments([3.0], [[1.0]])), 9)
    10.0

    That is (0 - 3)² + (2 - 1)².
    """
    shift = one.mean - other.mean
    spread = np.sum(one.factor**2) + np.sum(other.factor**2)
    shared = np.linalg.svd(one.factor @ other.factor.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + spread - 2 * shared))


def frechet_distance(one_ND: npt.ArrayLike, other_MD: npt.ArrayLike) -> float:
    """The distance of two sets of vectors.

    It grows as sets get smaller: compare only figures of sets of the same size, or those of
    `frechet_infinity`.
    """
    return distance(fitted(one_ND), fitted(other_MD))
