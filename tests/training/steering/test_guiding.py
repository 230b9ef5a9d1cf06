"""Cheap ways to steer do what their papers say, on the hook between steps."""

import pytest
import torch

from tests.training.steering.nets import DIFFUSION, FLOW, drawn, ideal
from training.objectives.path import Objective
from training.samplers.config import Sampler, SamplingConfig
from training.samplers.denoise import denoised, keep
from training.steering.guiding import (
    averaged,
    guided_by,
    looped,
    looped_noise,
    masked,
    one_after_other,
)

SHAPE = (2, 3, 10, 4)
KNOWN, START = drawn(*SHAPE, seed=1), drawn(*SHAPE, seed=2)
MASK = torch.arange(10) < 4
TEN = SamplingConfig(sampler=Sampler.EULER, steps=10)


def noise_at(time: float) -> torch.Tensor:
    return drawn(*SHAPE, seed=int(time * 1000))


@pytest.mark.parametrize("objective", [DIFFUSION, FLOW])
def test_what_is_known_is_put_back_as_noisy_as_the_step(objective: Objective) -> None:
    seen = list[torch.Tensor]()
    hook = masked(KNOWN, MASK, objective, noise_at)

    def note(x: torch.Tensor, clean: torch.Tensor, time: float) -> torch.Tensor:
        found = hook(x, clean, time)
        assert torch.equal(found[:, :, 4:], x[:, :, 4:])
        point = objective.point(time)
        wanted = point.alpha * KNOWN + point.sigma * noise_at(time)
        assert torch.allclose(found[:, :, :4], wanted[:, :, :4], atol=1e-6)
        seen.append(found)
        return found

    found = denoised(ideal(objective), START, objective, TEN, between=note)
    assert len(seen) == 10
    assert torch.allclose(found[:, :, :4], KNOWN[:, :, :4], atol=1e-6)


def test_means_are_taken_down_to_a_time() -> None:
    hook = averaged(KNOWN, MASK, FLOW, noise_at, until=0.5)
    early, late = (hook(START, START, time) for time in (0.75, 0.25))
    noisy = 0.25 * KNOWN + 0.75 * noise_at(0.75)
    assert torch.allclose(early[:, :, :4], (START + noisy)[:, :, :4] / 2)
    assert torch.equal(early[:, :, 4:], START[:, :, 4:])
    assert late is START


@pytest.mark.parametrize("objective", [DIFFUSION, FLOW])
def test_a_gradient_leads_a_share_of_the_noise_towards_what_is_asked(objective: Objective) -> None:
    def loss(latents: torch.Tensor) -> torch.Tensor:
        return (latents - KNOWN).square().mean((1, 2, 3))

    predict = ideal(objective)
    hook = guided_by(loss, predict, objective, rate=0.3)
    time = 0.5
    point = objective.point(time)
    shrink = point.alpha * 0.25 / (point.alpha**2 * 0.25 + point.sigma**2)
    slope = shrink * START - KNOWN  # times what all of a sample have in common
    size = slope.square().mean((1, 2, 3), keepdim=True).sqrt()
    with torch.no_grad():
        moved = hook(START, START, time)
    assert torch.allclose(moved, START - 0.3 * point.sigma * slope / size, atol=1e-5)
    assert hook(START, START, 0.0) is START
    with torch.no_grad():
        plain, led = (
            loss(denoised(predict, START, objective, TEN, between=one)) for one in (keep, hook)
        )
    assert (led < 0.5 * plain).all()


@pytest.mark.parametrize("objective", [DIFFUSION, FLOW])
def test_known_latents_are_there_to_the_bit_in_the_end(objective: Objective) -> None:
    hook = masked(KNOWN, MASK, objective, lambda _: START)
    found = denoised(ideal(objective), START, objective, TEN, between=hook)
    assert torch.equal(found[:, :, :4], KNOWN[:, :, :4])


@pytest.mark.parametrize("objective", [DIFFUSION, FLOW])
def test_a_loop_s_end_is_its_beginning_and_goes_on_from_both(objective: Objective) -> None:
    start = looped_noise(START, 4)
    assert torch.equal(start[:, :, -4:], START[:, :, :4])
    hook = looped(4)
    found = denoised(ideal(objective), start, objective, TEN, between=hook)
    assert torch.equal(found[:, :, :4], found[:, :, -4:])
    ramp = torch.arange(10.0)[None, None, :, None].expand(1, 1, 10, 1)
    both = hook(ramp, ramp, 0.5)[0, 0, :4, 0]
    # an eighth of the beginning first, for what follows the end has heard it; then more of it
    assert both.tolist() == pytest.approx([6 - 6 / 8, 7 - 18 / 8, 8 - 30 / 8, 9 - 42 / 8])


def test_hooks_follow_one_another() -> None:
    hooks = [lambda x, _c, _t: x + 1, lambda x, _c, _t: x * 2]
    assert torch.equal(one_after_other(hooks)(START, START, 0.5), (START + 1) * 2)
