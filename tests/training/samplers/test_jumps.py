"""A student's jumps: where they lead is known of one that jumps exactly along a Gaussian's way."""

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError

from training.errors import TrainingError
from training.objectives.diffusion import Diffusion, DiffusionConfig
from training.objectives.flow import Flow, FlowConfig
from training.objectives.path import Objective, PathPoint, PathPoints
from training.samplers.config import Sampler, SamplingConfig
from training.samplers.denoise import Predict, denoised
from training.samplers.steps import jump_prediction, straight

SPREAD = 0.6
PATHS = [
    Diffusion(DiffusionConfig(zero_terminal=True)),
    Diffusion(DiffusionConfig(target="epsilon")),
    Flow(FlowConfig()),
    Flow(FlowConfig(target="latent")),
    Flow(FlowConfig(shift=3.0)),
]
START = torch.randn(64, 4, 16, 8, generator=torch.Generator().manual_seed(0))


def fresh(number: int) -> torch.Tensor:
    return torch.randn(START.shape, generator=torch.Generator().manual_seed(1 + number))


def spread_at(point: PathPoints) -> torch.Tensor:
    return ((point.alpha * SPREAD) ** 2 + point.sigma**2).sqrt()


def exact(objective: Objective, told: list[tuple[float, float]] | None = None) -> Predict:
    """A student that jumps along the way of latents of spread SPREAD, to wherever it is told."""

    def predict(x: torch.Tensor, times_B: torch.Tensor, ends_B: torch.Tensor) -> torch.Tensor:
        if told is not None:
            told.append((float(times_B[0]), float(ends_B[0])))
        here, there = objective.points(times_B), objective.points(ends_B)
        ahead = x * spread_at(there) / spread_at(here)
        return jump_prediction(objective, x, ahead, here, there)

    return predict


def jumps(steps: int, gamma: float = 0.0) -> SamplingConfig:
    return SamplingConfig(sampler=Sampler.JUMP, steps=steps, gamma=gamma)


def first_spread(objective: Objective) -> float:
    point = objective.way(1, 16)[0]
    return math.hypot(point.alpha * SPREAD, point.sigma)


@pytest.mark.parametrize("objective", PATHS)
@pytest.mark.parametrize("steps", [1, 2, 4, 8, 16])
def test_any_number_of_jumps_leads_to_the_same_latent(objective: Objective, steps: int) -> None:
    found = denoised(exact(objective), START, objective, jumps(steps))
    wanted = START * SPREAD / first_spread(objective)
    assert torch.allclose(found, wanted, atol=2e-3)


@pytest.mark.parametrize("objective", PATHS)
def test_without_fresh_noise_jumps_follow_each_other(objective: Objective) -> None:
    """And nothing is drawn: the same latent each time."""
    predict, x = exact(objective), START
    for here, there in pairwise(objective.way(4, START.shape[2])):
        times_B, ends_B = (torch.full((len(x),), point.time) for point in (here, there))
        said = predict(x, times_B, ends_B)
        x = straight(there, objective.estimate(said, x, here))
    found = denoised(predict, START, objective, jumps(4))
    assert torch.equal(found, x)
    assert torch.equal(found, denoised(predict, START, objective, jumps(4), fresh=fresh))


@pytest.mark.parametrize("objective", PATHS)
@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.5, 1.0])
def test_the_spread_stays_right_however_much_noise_is_fresh(
    objective: Objective, gamma: float
) -> None:
    seen: list[tuple[float, float]] = []

    def watch(x: torch.Tensor, _: torch.Tensor, time: float) -> torch.Tensor:
        point = objective.point(time)
        seen.append((float(x.std()), math.hypot(point.alpha * SPREAD, point.sigma)))
        return x

    start = START * first_spread(objective)
    denoised(exact(objective), start, objective, jumps(4, gamma), between=watch, fresh=fresh)
    assert len(seen) == 4
    assert all(found == pytest.approx(wanted, rel=0.02) for found, wanted in seen)


@pytest.mark.parametrize("objective", PATHS)
def test_all_fresh_noise_means_a_jump_to_the_latent_each_time(objective: Objective) -> None:
    told: list[tuple[float, float]] = []
    denoised(exact(objective, told), START, objective, jumps(4, 1.0), fresh=fresh)
    assert [end for _, end in told] == [0.0] * 4
    assert [time for time, _ in told] == pytest.approx(
        [point.time for point in objective.way(4, 16)[:-1]]
    )


@pytest.mark.parametrize("objective", PATHS)
def test_a_jump_stops_where_there_is_as_much_less_noise_as_will_be_fresh(
    objective: Objective,
) -> None:
    """√(1 − γ²) of the noise over latent (Kim et al. 2024), to a step of a table."""
    told: list[tuple[float, float]] = []
    denoised(exact(objective, told), START, objective, jumps(4, 0.6), fresh=fresh)

    def ratio(point: PathPoint) -> float:
        return point.sigma / point.alpha

    for (_, end), there in zip(told[:-1], objective.way(4, 16)[1:-1], strict=False):
        assert ratio(objective.point(end)) == pytest.approx(0.8 * ratio(there), rel=0.01)
        assert ratio(objective.point(end)) <= 0.8 * ratio(there) * (1 + 1e-5)
    assert told[-1][1] == 0


def test_gradients_pass_through_jumps_and_their_noise() -> None:
    objective = PATHS[0]
    start = START.clone().requires_grad_()
    denoised(exact(objective), start, objective, jumps(3, 0.5), fresh=fresh).sum().backward()  # type: ignore[no-untyped-call]
    assert start.grad is not None
    assert float(start.grad.min()) > 0


def test_gamma_is_for_jumps_which_need_noise_for_it() -> None:
    with pytest.raises(ValidationError, match=r"gamma=0.5 is for sampling.sampler=jump, by which"):
        SamplingConfig(sampler=Sampler.DDIM, gamma=0.5)
    with pytest.raises(TrainingError, match="draws noise at each step, and was given none"):
        denoised(exact(PATHS[0]), START, PATHS[0], jumps(2, 0.5))
