"""The whole model learns: two random latents by heart, each to be recognised by its chords
alone.
"""

import pytest
import torch

from tests.training.micro import BANDS, EMPTY_TEXT, FRAMES, TWO, latents, model, times
from tests.training.munet.contexts import MICRO
from training.conditions import Condition
from training.diffusion.model import LatentDiffusion
from training.diffusion.sampling import sampled_latents
from training.errors import TrainingError
from training.objectives.diffusion import DiffusionConfig, Target
from training.samplers.config import SamplingConfig

MEMORY = latents()


def learned(made: LatentDiffusion, steps: int) -> list[float]:
    """Train on the two latents, sixteen draws of noise at once; the loss of every step."""
    optimiser = torch.optim.AdamW(made.parameters(), lr=3e-3)
    rng, losses = torch.Generator().manual_seed(1), []
    conditions = TWO
    for _ in range(3):
        conditions = conditions.joined(conditions)
    for _ in range(steps):
        noise = torch.randn(16, *MEMORY.shape[1:], generator=rng)
        loss = made(
            MEMORY.repeat(8, 1, 1, 1),
            conditions,
            noise,
            torch.rand(16, generator=rng),
        ).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(made.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def expert() -> tuple[LatentDiffusion, list[float]]:
    made = model()
    return made, learned(made, 90)


def test_two_latents_are_learned_by_heart(expert: tuple[LatentDiffusion, list[float]]) -> None:
    losses = expert[1]
    assert sum(losses[-20:]) < sum(losses[:20]) / 3


def test_what_was_learned_is_recalled_by_its_chords_whatever_the_noise(
    expert: tuple[LatentDiffusion, list[float]],
) -> None:
    config = SamplingConfig(guidance=1.0, steps=10)
    for keys in (["a", "b"], ["c", "d"]):
        recalled = sampled_latents(
            expert[0], TWO, EMPTY_TEXT, keys=keys, seed=0, frames=FRAMES, bands=BANDS, config=config
        )
        distance = (recalled[:, None] - MEMORY[None]).square().flatten(2).mean(2)
        assert distance.diagonal().max() < 0.4
        assert min(distance[0, 1], distance[1, 0]) > 1.0  # two unit Gaussians are 2 apart


@pytest.mark.parametrize("target", Target)
def test_a_sample_s_loss_is_the_objective_s_of_what_the_net_says(target: Target) -> None:
    made = model(objective=DiffusionConfig(target=target))
    noise, drawn = latents(seed=2), times(100, 800)
    with torch.no_grad():
        losses = made(MEMORY, TWO, noise, drawn)
        prediction = made.predict(made.objective.noised(MEMORY, noise, drawn), drawn, TWO)
    wanted = made.objective.target(MEMORY, noise, drawn)
    expected = (prediction - wanted).square().flatten(1).mean(1) * made.objective.weight(drawn)
    assert torch.allclose(losses, expected, rtol=1e-5)
    assert losses[0] != losses[1]


def test_every_weight_but_the_null_tokens_learns_from_known_conditions() -> None:
    made = model()
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    made(MEMORY, TWO, latents(seed=2), times(100, 800)).sum().backward()
    still = {
        name
        for name, parameter in made.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    assert still == {"beats.null_D", "chords.null_D"}


def test_the_blind_twin_has_no_embeddings_of_controls() -> None:
    blind = model(MICRO.blind())
    assert not [name for name, _ in blind.named_parameters() if "beats" in name or "chords" in name]
    assert set(blind.context(TWO)) == {Condition.TEXT}
    assert blind(MEMORY, TWO, latents(seed=2), times(100, 800)).isfinite().all()


def test_untold_conditions_are_the_empty_prompt_and_null_tokens() -> None:
    untold = TWO.unconditional(EMPTY_TEXT)
    assert untold.text.mask_BL.sum(1).tolist() == [1, 1]
    assert untold.beats.mask_BL.sum(1).tolist() == untold.chords.mask_BL.sum(1).tolist() == [1, 1]
    assert not untold.beats.numbers_BL.any()


def test_batches_of_which_one_knows_seconds_are_not_joined() -> None:
    with pytest.raises(TrainingError, match="only one of two batches has seconds"):
        TWO.joined(TWO._replace(seconds_B2=torch.zeros(2, 2)))
