"""Noise is moved to where its latents are what is asked for, in memory that steps do not fill."""

import pytest
import torch

from pipelines.codecs.mel import MelCodec
from tests.training.steering.nets import DIFFUSION, FLOW, drawn, ideal, mixing, peak_bytes, wide
from training.errors import TrainingError
from training.objectives.path import Objective
from training.samplers.config import Sampler, SamplingConfig
from training.samplers.denoise import denoised
from training.steering.listening import Ear
from training.steering.losses import (
    SteerLoss,
    beginning,
    block_form,
    form,
    given,
    intensity,
    intensity_shape,
    loop,
    melody,
)
from training.steering.optimise import OptimiseConfig, Steering, optimised, recomputed

EAR = Ear(MelCodec())
FIVE = SamplingConfig(sampler=Sampler.EULER, steps=5)
SHAPE = (2, 64, 12, 8)  # one and a half seconds of `mel`
FRAMES = 15
TARGET = torch.linspace(-50, -20, FRAMES, dtype=torch.float64)


def squared(latents: torch.Tensor) -> torch.Tensor:
    return (latents - 0.25).square().mean((1, 2, 3))


OBJECTIVES: dict[str, SteerLoss] = {
    "intensity": intensity(EAR, TARGET),
    "shape": intensity_shape(EAR, TARGET.flip(0)),
    "melody": melody(EAR, torch.arange(FRAMES) // 2),
    "form": form(EAR, block_form("ABA", FRAMES).double()),
    "given": given(drawn(*SHAPE, dtype=torch.float64), torch.arange(12) < 4),
    "beginning": beginning(drawn(*SHAPE, dtype=torch.float64), overlap=3, frames=12),
    "loop": loop(overlap=3),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("objective", [DIFFUSION, FLOW])
def test_gradients_of_the_noise_are_finite_differences(name: str, objective: Objective) -> None:
    predict, loss = recomputed(mixing(64, 16)), OBJECTIVES[name]
    noise = drawn(*SHAPE, seed=3, dtype=torch.float64).requires_grad_()

    def far(start: torch.Tensor) -> torch.Tensor:
        return loss(denoised(predict, start, objective, FIVE)).sum()

    [slope] = torch.autograd.grad(far(noise), [noise])
    towards = drawn(*SHAPE, seed=4, dtype=torch.float64)
    with torch.no_grad():
        rise = far(noise + 1e-6 * towards) - far(noise - 1e-6 * towards)
    assert slope.abs().max() > 0
    assert (slope * towards).sum().item() == pytest.approx(rise.item() / 2e-6, rel=1e-5)


@pytest.mark.parametrize("sampler", [Sampler.DDIM, Sampler.DPM_SOLVER, Sampler.HEUN])
def test_memory_does_not_grow_with_steps(sampler: Sampler) -> None:
    start = drawn(1, 1, 8, 4)
    once = OptimiseConfig(most_steps=1)

    def peak(steps: int) -> int:
        rules = SamplingConfig(sampler=sampler, steps=steps)
        return peak_bytes(lambda: optimised(wide, start, DIFFUSION, rules, Steering(squared, once)))

    peaks = [peak(steps) for steps in (10, 20, 50)]
    assert max(peaks) < 1.1 * min(peaks)
    assert min(peaks) > 3 * 2048 * start.numel() * 4  # of one question's activations


def test_kept_activations_would_grow() -> None:
    start = drawn(1, 1, 8, 4)

    def kept(steps: int) -> int:
        rules = SamplingConfig(sampler=Sampler.DDIM, steps=steps)
        noise = start.clone().requires_grad_()
        return peak_bytes(lambda: squared(denoised(wide, noise, DIFFUSION, rules)).sum())

    assert kept(20) > 1.8 * kept(10)


@pytest.mark.parametrize(
    ("name", "most"), [("intensity", 7.0), ("shape", -0.95), ("given", 0.25), ("loop", 0.05)]
)
@pytest.mark.parametrize("objective", [DIFFUSION, FLOW])
def test_what_is_asked_for_is_found(name: str, most: float, objective: Objective) -> None:
    rules = OptimiseConfig(lr=0.1, most_steps=40)
    start = drawn(*SHAPE, seed=5, dtype=torch.float64)
    found = optimised(ideal(objective), start, objective, FIVE, Steering(OBJECTIVES[name], rules))
    first, last = found.losses_KB[0], OBJECTIVES[name](found.latents_BCTF)
    assert (first > 0.15).all()
    assert (last < most).all()
    with torch.no_grad():
        again = denoised(ideal(objective), found.noise_BCTF, objective, FIVE)
    assert torch.equal(again, found.latents_BCTF)


def test_adam_is_torch_s_own_by_hand() -> None:
    start = drawn(1, 2, 4, 3)
    rules = OptimiseConfig(lr=0.01, most_steps=1)
    found = optimised(ideal(FLOW), start, FLOW, FIVE, Steering(squared, rules))
    # its first step is as long for each value: lr, against the sign of the slope
    with torch.no_grad():
        end = denoised(ideal(FLOW), start, FLOW, FIVE)
    wanted = start - 0.01 * (end - 0.25).sign()
    assert torch.allclose(found.noise_BCTF, wanted, atol=1e-6)
    assert found.best_B.tolist() == [1]


def test_the_same_is_found_twice_and_in_another_batch() -> None:
    start, rules = drawn(3, 2, 4, 3), OptimiseConfig(most_steps=5)
    found, again = (
        optimised(ideal(FLOW), start, FLOW, FIVE, Steering(squared, rules)) for _ in range(2)
    )
    assert torch.equal(found.latents_BCTF, again.latents_BCTF)
    alone = optimised(ideal(FLOW), start[1:2], FLOW, FIVE, Steering(squared, rules))
    assert torch.allclose(alone.latents_BCTF, found.latents_BCTF[1:2], atol=1e-6)


def test_it_ends_where_it_is_enough() -> None:
    start = drawn(2, 2, 4, 3)
    rules = OptimiseConfig(lr=0.05, most_steps=60)
    long = optimised(ideal(FLOW), start, FLOW, FIVE, Steering(squared, rules))
    enough = float(long.losses_KB[20].max())
    short = optimised(
        ideal(FLOW), start, FLOW, FIVE, Steering(squared, rules.replaced(enough=enough))
    )
    assert len(long.losses_KB) == 61
    assert len(short.losses_KB) == 21
    assert torch.equal(short.losses_KB, long.losses_KB[:21])


def test_a_loss_that_is_not_a_number_is_told() -> None:
    with pytest.raises(TrainingError, match=r"the loss of step 0 is not a number: lower lr 0.05"):
        optimised(
            ideal(FLOW),
            drawn(1, 2, 4, 3),
            FLOW,
            FIVE,
            Steering(lambda x: x.mean((1, 2, 3)) * float("nan")),
        )
