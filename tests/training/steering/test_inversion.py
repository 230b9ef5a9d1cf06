"""Latents go back to the noise that leads to them."""

import pytest
import torch

from tests.training.steering.nets import DIFFUSION, FLOW, drawn, ideal, mixing
from training.errors import TrainingError
from training.objectives.path import Objective
from training.samplers.config import Sampler, SamplingConfig
from training.samplers.denoise import Predict, denoised
from training.steering.inversion import inverted

TEN = SamplingConfig(sampler=Sampler.EULER, steps=10)
SHAPE = (2, 8, 12, 4)


@pytest.mark.parametrize("objective", [DIFFUSION, FLOW])
@pytest.mark.parametrize("predict", ["ideal", "net"])
def test_the_sampler_run_backwards_is_exact(objective: Objective, predict: str) -> None:
    net: Predict = ideal(objective) if predict == "ideal" else _gentle()
    start = drawn(*SHAPE, dtype=torch.float64)
    latents = denoised(net, start, objective, TEN)
    back = inverted(net, latents, objective, TEN, rounds=100, near=1e-9)
    assert back.missed_KB.max() < 1e-8
    again = denoised(net, back.noise_BCTF, objective, TEN)
    assert torch.allclose(again, latents, atol=1e-6)
    assert torch.allclose(back.noise_BCTF, start, atol=1e-5)


def _gentle() -> Predict:
    net = mixing(8, 16)

    def predict(x: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        return 0.2 * net(x, times_B) + x * times_B[:, None, None, None]

    return predict


def test_one_look_a_step_misses_more() -> None:
    latents = denoised(ideal(DIFFUSION), drawn(*SHAPE, dtype=torch.float64), DIFFUSION, TEN)
    once, often = (
        inverted(ideal(DIFFUSION), latents, DIFFUSION, TEN, rounds=rounds) for rounds in (1, 20)
    )
    assert often.missed_KB.max() < 0.01 * once.missed_KB.max()


@pytest.mark.parametrize(
    "rules",
    [SamplingConfig(sampler=Sampler.HEUN), SamplingConfig(sampler=Sampler.DDIM, eta=1.0)],
)
def test_samplers_that_cannot_be_run_backwards_say_so(rules: SamplingConfig) -> None:
    with pytest.raises(TrainingError, match="cannot be run backwards"):
        inverted(ideal(DIFFUSION), drawn(*SHAPE), DIFFUSION, rules)
