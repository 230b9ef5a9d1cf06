"""The Fréchet distance against its closed forms."""

import numpy as np
import pytest
import scipy.linalg

from training.errors import TrainingError
from training.metrics.frechet import distance, fitted, frechet_distance, of_moments

DRAWS = np.random.default_rng(0)


def rotation(size: int) -> np.ndarray:
    return np.linalg.qr(DRAWS.standard_normal((size, size)))[0]


def test_in_one_dimension_it_is_the_difference_of_means_and_of_deviations() -> None:
    found = distance(of_moments([1.0], [[9.0]]), of_moments([-1.0], [[0.25]]))
    assert found == pytest.approx((1 - -1) ** 2 + (3 - 0.5) ** 2)


def test_with_diagonal_covariances_dimensions_add_up() -> None:
    first, second = np.array([1.0, 4.0, 0.0]), np.array([9.0, 4.0, 2.0])
    means = np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0])
    found = distance(of_moments(means[0], np.diag(first)), of_moments(means[1], np.diag(second)))
    assert found == pytest.approx(5 + np.sum((np.sqrt(first) - np.sqrt(second)) ** 2))


def test_covariances_that_commute_differ_by_the_roots_of_their_eigenvalues() -> None:
    turned, first, second = rotation(6), DRAWS.uniform(0, 3, 6), DRAWS.uniform(0, 3, 6)
    found = distance(
        of_moments(np.zeros(6), turned * first @ turned.T),
        of_moments(np.zeros(6), turned * second @ turned.T),
    )
    assert found == pytest.approx(np.sum((np.sqrt(first) - np.sqrt(second)) ** 2))


def test_covariances_that_do_not_commute_agree_with_the_root_of_their_product() -> None:
    first, second = (root @ root.T for root in (DRAWS.standard_normal((5, 8)) for _ in range(2)))
    root = scipy.linalg.sqrtm(first @ second).real
    found = distance(of_moments(np.zeros(5), first), of_moments(np.zeros(5), second))
    assert found == pytest.approx(np.trace(first + second - 2 * root))


@pytest.mark.parametrize("clips", [3, 40, 500])  # fewer and more than dimensions
def test_equal_sets_are_at_no_distance_and_a_shift_is_its_square(clips: int) -> None:
    rows = DRAWS.standard_normal((clips, 50))
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(rows, rows[::-1]) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(rows, rows + 0.3) == pytest.approx(50 * 0.09)


def test_fewer_clips_than_dimensions_are_as_good_as_their_own_subspace() -> None:
    low_one, low_other = DRAWS.standard_normal((4, 3)), 2 * DRAWS.standard_normal((5, 3)) + 1
    into = rotation(60)[:3]
    assert frechet_distance(low_one @ into, low_other @ into) == pytest.approx(
        frechet_distance(low_one, low_other)
    )


def test_sets_agree_with_their_moments() -> None:
    one, other = DRAWS.standard_normal((200, 7)) @ rotation(7), DRAWS.uniform(size=(90, 7))
    by_moments = [of_moments(rows.mean(axis=0), np.cov(rows.T)) for rows in (one, other)]
    assert frechet_distance(one, other) == pytest.approx(distance(*by_moments))


def test_many_draws_of_two_gaussians_come_near_their_distance() -> None:
    one = DRAWS.standard_normal((20_000, 3)) * [1, 2, 3]
    other = DRAWS.standard_normal((20_000, 3)) * [2, 2, 1] + [0, 1, 0]
    assert frechet_distance(one, other) == pytest.approx(1 + 1 + 4, rel=0.03)


def test_a_set_of_one_or_with_nan_is_refused() -> None:
    with pytest.raises(TrainingError, match="at least two vectors"):
        fitted([[1.0, 2.0]])
    with pytest.raises(TrainingError, match="finite"):
        fitted([[1.0], [float("nan")]])
