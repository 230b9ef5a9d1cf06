"""A model's own pieces are steered, by seed and key, and its weights stay."""

import pytest
import torch

from tests.training.micro import BANDS, EMPTY_TEXT, FRAMES, TWO, conditions, model
from tests.training.munet.contexts import MICRO
from training.diffusion.model import Conditions
from training.diffusion.sampling import sampled_latents
from training.errors import TrainingError
from training.samplers.config import Sampler, SamplingConfig
from training.steering.optimise import OptimiseConfig, Optimised, Steering
from training.steering.steer import SteerPlan, steered_latents

RULES = SamplingConfig(sampler=Sampler.DDIM, steps=2, eta=0.5)


def near_one(latents: torch.Tensor) -> torch.Tensor:
    return (latents - 1).square().mean((1, 2, 3))


def steered(told: Conditions, *keys: str, seed: int = 0, most_steps: int = 2) -> Optimised:
    made = model()
    before = [one.detach().clone() for one in made.parameters()]
    found = steered_latents(
        made,
        told,
        EMPTY_TEXT,
        SteerPlan(Steering(near_one, OptimiseConfig(lr=0.1, most_steps=most_steps))),
        keys=keys,
        seed=seed,
        frames=FRAMES,
        bands=BANDS,
        sampling=RULES,
    )
    for one, was in zip(made.parameters(), before):
        assert torch.equal(one, was)
        assert one.requires_grad
        assert one.grad is None
    return found


def test_a_model_s_pieces_come_nearer_by_seed_and_key() -> None:
    found = steered(TWO, "a", "b")
    assert (found.losses_KB[-1] < 0.97 * found.losses_KB[0]).all()
    again, other = steered(TWO, "a", "b"), steered(TWO, "a", "b", seed=1)
    assert torch.equal(found.latents_BCTF, again.latents_BCTF)
    assert not torch.allclose(found.latents_BCTF, other.latents_BCTF, atol=0.1)
    alone = steered(conditions(("A:min", "D:min")), "b")
    assert torch.allclose(alone.latents_BCTF[0], found.latents_BCTF[1], atol=1e-2)


def test_the_first_loss_is_that_of_what_is_played_without() -> None:
    with torch.no_grad():
        plain = sampled_latents(
            model(),
            TWO,
            EMPTY_TEXT,
            keys=("a", "b"),
            seed=0,
            frames=FRAMES,
            bands=BANDS,
            config=RULES,
        )
    found = steered(TWO, "a", "b", most_steps=1)
    assert torch.allclose(found.losses_KB[0], near_one(plain), rtol=1e-4)


def test_every_steered_sample_needs_a_key() -> None:
    with pytest.raises(TrainingError, match="1 keys for conditions of 2 samples"):
        steered(TWO, "a")


@pytest.mark.parametrize("steps", [1, 3])
def test_noise_is_optimised_through_a_student_s_jumps(steps: int) -> None:
    """As DITTO-2 does (Novack et al. 2024, arXiv 2405.20289): a jump is one question."""
    student = model(MICRO.replaced(jumps=True))
    asked = list[int]()
    net = student.get_submodule(student.kind)
    net.register_forward_pre_hook(lambda _, given: asked.append(len(given[0])))
    rules = SamplingConfig(sampler=Sampler.JUMP, steps=steps, gamma=0.5)
    found = steered_latents(
        student,
        TWO,
        EMPTY_TEXT,
        SteerPlan(Steering(near_one, OptimiseConfig(lr=0.1, most_steps=2))),
        keys=("a", "b"),
        seed=0,
        frames=FRAMES,
        bands=BANDS,
        sampling=rules,
    )
    assert (found.losses_KB[-1] < found.losses_KB[0]).all()
    # two of three ways have gradients, for which each question is asked again; guidance is told
    assert asked == [2] * (3 + 2) * steps


def test_noise_that_was_moved_through_one_jump_is_played_in_several() -> None:
    student = model(MICRO.replaced(jumps=True))
    one, four = (SamplingConfig(sampler=Sampler.JUMP, steps=steps) for steps in (1, 4))
    found = [
        steered_latents(
            student,
            TWO,
            EMPTY_TEXT,
            SteerPlan(Steering(near_one, OptimiseConfig(lr=0.1, most_steps=2), played)),
            keys=("a", "b"),
            seed=0,
            frames=FRAMES,
            bands=BANDS,
            sampling=one,
        )
        for played in (None, one, four)
    ]
    assert torch.equal(found[0].noise_BCTF, found[2].noise_BCTF)
    assert torch.allclose(found[0].latents_BCTF, found[1].latents_BCTF, atol=1e-6)
    assert not torch.allclose(found[0].latents_BCTF, found[2].latents_BCTF, atol=1e-3)
