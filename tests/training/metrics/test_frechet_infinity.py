"""FAD∞ against distances that are known, and the zero that stands beside it."""

import numpy as np
import pytest

from training.metrics.frechet import frechet_distance
from training.metrics.frechet_infinity import LEAST, beside_zero, line_at_zero, sizes


def gaussian(clips: int, dimensions: int, *, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Unit covariance; the mean is so far from 0 that its square is `shift`."""
    rng = np.random.default_rng(seed)
    drawn: np.ndarray = rng.standard_normal((clips, dimensions)) + np.sqrt(shift / dimensions)
    return drawn


def test_of_two_gaussians_it_is_nearer_to_their_distance_than_the_plain_one() -> None:
    """Of equal covariances the distance is the square of the shift: 2."""
    reference, made = gaussian(400, 32), gaussian(200, 32, shift=2.0, seed=1)
    found = beside_zero(reference, made, seed=0)
    assert found is not None
    plain = frechet_distance(reference, made)
    assert plain > 3.5  # the bias of 200 clips in 32 dimensions
    assert found.apart.at_infinity == pytest.approx(2.0, abs=0.5)
    assert found.apart.straightness > 0.95
    assert (found.apart.least, found.apart.most) == (66, 200)


def test_two_halves_of_a_set_are_at_nought_and_so_are_clips_of_its_kind() -> None:
    found = beside_zero(gaussian(400, 32), gaussian(200, 32, seed=1), seed=0)
    assert found is not None
    assert found.zero.distance > 1.5
    assert found.zero.at_infinity == pytest.approx(0, abs=0.3)
    assert found.apart.at_infinity == pytest.approx(found.zero.at_infinity, abs=0.5)


def test_with_fewer_clips_than_dimensions_the_zero_tells_what_the_end_does_not() -> None:
    """No line in 1/n: the end is far from 0, and as far for halves of one set."""
    found = beside_zero(gaussian(80, 200), gaussian(40, 200, seed=1), seed=0)
    assert found is not None
    assert found.zero.at_infinity > 100
    assert found.apart.at_infinity == pytest.approx(found.zero.at_infinity, rel=0.05)
    moved = beside_zero(gaussian(80, 200), gaussian(40, 200, shift=60.0, seed=1), seed=0)
    assert moved is not None
    apart = moved.apart.at_infinity - moved.zero.at_infinity
    assert apart == pytest.approx(60, abs=20)


def test_both_are_of_as_many_as_half_the_reference_has_and_draws_are_the_seed_s() -> None:
    made = gaussian(100, 4, seed=1)
    found = beside_zero(gaussian(60, 4), made, seed=0)
    assert found is not None
    assert found.apart.most == found.zero.most == 30
    assert beside_zero(gaussian(60, 4), made, seed=0) == found
    assert beside_zero(gaussian(60, 4), made, seed=1) != found


def test_of_too_few_no_line_is_drawn() -> None:
    assert beside_zero(gaussian(2 * LEAST - 1, 4), gaussian(50, 4), seed=0) is None
    assert beside_zero(gaussian(50, 4), gaussian(LEAST - 1, 4), seed=0) is None
    assert beside_zero(gaussian(2 * LEAST, 4), gaussian(LEAST, 4), seed=0) is not None
    assert sizes(LEAST)[0] >= 2


def test_distances_beside_a_line_are_told_as_such() -> None:
    assert line_at_zero([10, 20, 40], [1.0, 1.0, 1.0]) == (1.0, 1.0)
    assert line_at_zero([10, 20, 40], [1.0, 3.0, 1.0])[1] < 0.5
