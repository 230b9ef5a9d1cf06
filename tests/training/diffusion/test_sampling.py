"""Samplers find what an ideal predictor points at; guidance is linear; a seed and a key are a
latent.
"""

from typing import cast

import pytest
import torch

from tests.training.micro import BANDS, EMPTY_TEXT, FRAMES, TWO, conditions, latents, model
from training.diffusion.model import Conditions, LatentDiffusion
from training.diffusion.objective import BetaSchedule, Objective, ObjectiveConfig, Target
from training.diffusion.sampling import Predict, Sampler, SamplingConfig, denoised, sampled_latents
from training.errors import TrainingError
from training.munet.net import MuNet

BOTH = [(sampler, target) for sampler in Sampler for target in Target]


def ideal(objective: Objective, mean: torch.Tensor, spread: float) -> Predict:
    """The best predictor of Gaussian latents with a mean and a standard deviation, from the closed
    form of their posterior.
    """
    signal = objective.scheduler.alphas_cumprod

    def predict(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        alpha, sigma = (
            share.sqrt()[:, None, None, None] for share in (signal[steps], 1 - signal[steps])
        )
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        latent = mean + gain * (x - alpha * mean)
        noise: torch.Tensor = (x - alpha * latent) / sigma
        if objective.config.target is Target.EPSILON:
            return noise
        velocity: torch.Tensor = alpha * noise - sigma * latent
        return velocity

    return predict


@pytest.mark.parametrize(("sampler", "target"), BOTH)
@pytest.mark.parametrize("schedule", BetaSchedule)
def test_the_only_latent_there_is_is_found(
    sampler: Sampler, target: Target, schedule: BetaSchedule
) -> None:
    objective = Objective(ObjectiveConfig(target=target, schedule=schedule))
    found = denoised(
        ideal(objective, latents(seed=3), 0.0),
        latents(seed=4),
        objective,
        SamplingConfig(sampler=sampler, steps=20),
    )
    assert torch.allclose(found, latents(seed=3), atol=2e-2)


@pytest.mark.parametrize(("sampler", "target"), BOTH)
def test_samples_spread_as_the_latents_do(sampler: Sampler, target: Target) -> None:
    objective = Objective(ObjectiveConfig(target=target))
    start = torch.randn(64, 4, 16, 4, generator=torch.Generator().manual_seed(5))
    mean = torch.full((1, 4, 16, 4), 0.5)
    found = denoised(
        ideal(objective, mean, 0.8), start, objective, SamplingConfig(sampler=sampler, steps=50)
    )
    assert found.mean().item() == pytest.approx(0.5, abs=0.05)
    assert found.std().item() == pytest.approx(0.8, rel=0.1)


class Pointing(torch.nn.Module):
    """Stands for a net that, told, always means one latent and, untold, another; it counts the
    questions it is asked.
    """

    def __init__(
        self, made: LatentDiffusion, conditional: torch.Tensor, unconditional: torch.Tensor
    ) -> None:
        super().__init__()
        self.config, self.rows = made.munet.config, list[int]()
        self.predictors = [ideal(made.objective, one, 0.0) for one in (conditional, unconditional)]

    def forward(
        self, x: torch.Tensor, steps: torch.Tensor, context: object, seconds: None
    ) -> torch.Tensor:
        self.rows.append(len(x))
        halves = zip(self.predictors, torch.split(x, 2), torch.split(steps, 2))
        return torch.cat([predict(part, step) for predict, part, step in halves])


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guidance_goes_on_from_the_untold_through_the_told(guidance: float) -> None:
    made, conditional, unconditional = model(), latents(seed=6), latents(seed=7)
    made.munet = cast(MuNet, Pointing(made, conditional, unconditional))
    found = sampled_latents(
        made,
        TWO,
        EMPTY_TEXT,
        keys=["a", "b"],
        seed=0,
        frames=FRAMES,
        bands=BANDS,
        config=SamplingConfig(guidance=guidance, steps=12),
    )
    assert torch.allclose(
        found, unconditional + guidance * (conditional - unconditional), atol=5e-2
    )
    assert made.munet.rows == [2 if guidance == 1 else 4] * 12  # both halves in one question


def sampled(
    made: LatentDiffusion, conditional: Conditions, *keys: str, seed: int = 0
) -> torch.Tensor:
    return sampled_latents(
        made,
        conditional,
        EMPTY_TEXT,
        keys=keys,
        seed=seed,
        frames=FRAMES,
        bands=BANDS,
        config=SamplingConfig(sampler=Sampler.DDIM, steps=4),
    )


def test_a_seed_and_a_key_are_a_latent() -> None:
    made = model()
    first = sampled(made, TWO, "a", "b")
    assert torch.equal(first, sampled(made, TWO, "a", "b"))
    assert not torch.allclose(first, sampled(made, TWO, "a", "b", seed=1), atol=0.1)
    alone = sampled(made, conditions(("A:min", "D:min")), "b")
    assert torch.allclose(alone[0], first[1], atol=1e-4)
    assert first.shape == (2, 4, FRAMES, BANDS)
    assert not first.requires_grad


def test_every_sample_needs_a_key() -> None:
    with pytest.raises(TrainingError, match="1 keys for conditions of 2 samples"):
        sampled(model(), TWO, "a")
