"""Flow matching in closed form; which times are learned; how a recipe chooses."""

import math
from statistics import NormalDist

import pytest
import torch
from pydantic import ValidationError

from tests.training.micro import latents
from training.munet.config import preset
from training.objectives.diffusion import Diffusion, DiffusionConfig
from training.objectives.flow import Flow, FlowConfig, FlowTarget
from training.run.presets import READY
from training.run.recipe import TrainRecipe
from training.samplers.config import OF_ALL_NETS, OF_DIFFUSION, Sampler, SamplingConfig
from training.samplers.denoise import denoised

LATENT, NOISE = latents(seed=1), latents(seed=2)
TIMES = torch.tensor([0.25, 0.8])
FLOW = Flow(FlowConfig())
FROM_LATENTS = Flow(FlowConfig(target=FlowTarget.LATENT))


def test_the_line_from_latent_to_noise_is_straight_and_the_net_says_where_it_leads() -> None:
    noisy, velocity = FLOW.noised(LATENT, NOISE, TIMES), FLOW.target(LATENT, NOISE, TIMES)
    assert torch.allclose(noisy[0], 0.75 * LATENT[0] + 0.25 * NOISE[0])
    assert torch.allclose(noisy[1], 0.2 * LATENT[1] + 0.8 * NOISE[1])
    assert torch.equal(velocity, NOISE - LATENT)
    assert torch.allclose(FLOW.clean(velocity, noisy, TIMES), LATENT, atol=1e-6)
    assert torch.allclose(FLOW.prediction(LATENT, noisy, TIMES), velocity, atol=1e-5)
    said = FLOW.estimate(velocity[:1], noisy[:1], FLOW.point(0.25))
    assert torch.allclose(said.clean, LATENT[:1], atol=1e-6)
    assert torch.allclose(said.noise, NOISE[:1], atol=1e-6)


def test_the_loss_is_the_mean_square_of_what_was_missed_padding_aside() -> None:
    missed = FLOW.target(LATENT, NOISE, TIMES) + torch.tensor([0.5, 2.0])[:, None, None, None]
    assert FLOW.loss(missed, LATENT, NOISE, TIMES).tolist() == pytest.approx([0.25, 4.0])
    missed[1, :, 6:] += 100.0
    own = torch.tensor([12, 6])
    assert FLOW.loss(missed, LATENT, NOISE, TIMES, own).tolist() == pytest.approx([0.25, 4.0])


def test_a_net_that_gives_the_latent_is_asked_nothing_else() -> None:
    noisy = FROM_LATENTS.noised(LATENT, NOISE, TIMES)
    assert torch.equal(noisy, FLOW.noised(LATENT, NOISE, TIMES))
    assert torch.equal(FROM_LATENTS.target(LATENT, NOISE, TIMES), LATENT)
    assert torch.equal(FROM_LATENTS.clean(LATENT, noisy, TIMES), LATENT)
    assert torch.equal(FROM_LATENTS.prediction(LATENT, noisy, TIMES), LATENT)
    for point, of in ((FLOW.point(0.25), slice(1)), (FLOW.points(TIMES), slice(2))):
        said = FROM_LATENTS.estimate(LATENT[of], noisy[of], point)
        assert torch.equal(said.clean, LATENT[of])
        assert torch.allclose(said.noise, NOISE[of], atol=1e-5)


def test_its_loss_is_that_of_the_velocity_to_its_latent_up_to_where_noise_is_all_but_gone() -> None:
    guess, own = LATENT + 0.1 * latents(seed=3), torch.tensor([12, 6])
    noisy = FLOW.noised(LATENT, NOISE, TIMES)
    loss = FROM_LATENTS.loss(guess, LATENT, NOISE, TIMES, own)
    led = FLOW.prediction(guess, noisy, TIMES)
    assert torch.allclose(loss, FLOW.loss(led, LATENT, NOISE, TIMES, own), rtol=1e-4)
    near = torch.tensor([0.05, 0.001])
    losses = FROM_LATENTS.loss(LATENT + 0.1, LATENT, NOISE, near).tolist()
    assert losses == pytest.approx([4.0, 4.0], rel=1e-4)


def test_evenly_spread_draws_are_times_whose_logits_are_normal() -> None:
    config = FlowConfig(logit_mean=-0.5, logit_spread=1.5)
    times = [config.time_of((index + 0.5) / 1000, frames=80) for index in range(1000)]
    assert times == sorted(times)
    logits = torch.tensor([math.log(time / (1 - time)) for time in times])
    assert logits.mean().item() == pytest.approx(-0.5, abs=1e-3)
    assert logits.std().item() == pytest.approx(1.5, abs=0.02)
    below = sum(time < 0.25 for time in times) / 1000
    assert below == pytest.approx(NormalDist(-0.5, 1.5).cdf(math.log(1 / 3)), abs=1e-3)


def test_the_last_draws_still_lie_between_latent_and_noise() -> None:
    config = FlowConfig(logit_spread=3.0, shift=10.0)
    ends = torch.tensor([config.time_of(draw, frames=80) for draw in (0.0, 1 - 2**-53)])
    assert (ends > 0).all()
    assert (ends < 1).all()


@pytest.mark.parametrize("sampler", [one for one in OF_ALL_NETS if one not in OF_DIFFUSION])
@pytest.mark.parametrize("shift", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("target", FlowTarget)
def test_the_only_latent_there_is_is_found_whatever_the_shift(
    sampler: Sampler, shift: float, target: FlowTarget
) -> None:
    flow = Flow(FlowConfig(shift=shift, target=target))

    def ideal(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return flow.prediction(LATENT, x, times)

    rules = SamplingConfig(sampler=sampler, steps=3)
    assert torch.allclose(denoised(ideal, NOISE, flow, rules), LATENT, atol=1e-4)


@pytest.mark.parametrize("steps", [3, 1000, 100_000])
def test_times_of_a_diffusion_lead_back_to_their_steps(steps: int) -> None:
    config = DiffusionConfig(steps=steps)
    middles = torch.tensor([config.time_at(step) for step in range(steps)])
    assert torch.equal(Diffusion(config).steps(middles), torch.arange(steps))
    assert config.time_of(1 - 2**-53, frames=1) == config.time_at(steps - 1)


def test_a_recipe_of_before_is_a_munet_that_learns_a_diffusion() -> None:
    tiny = READY["tiny-munet"]
    before = tiny.model_dump(mode="json")
    assert (before["model"].pop("kind"), before["objective"].pop("kind")) == ("munet", "diffusion")
    assert TrainRecipe.model_validate(before) == tiny


def test_a_recipe_refuses_what_does_not_fit() -> None:
    flow = {"model": preset("tiny"), "objective": {"kind": "flow"}}
    assert TrainRecipe.model_validate(flow).objective == FlowConfig()
    with pytest.raises(ValidationError, match=r"sampler=ddim is for objective\.kind=diffusion"):
        TrainRecipe.model_validate(flow | {"sampling": {"sampler": "ddim"}})
    with pytest.raises(ValidationError, match="snr_gamma"):
        TrainRecipe.model_validate(flow | {"objective": {"kind": "flow", "snr_gamma": 5.0}})
    with pytest.raises(ValidationError, match="'diffusion', 'flow'"):
        TrainRecipe.model_validate(flow | {"objective": {"kind": "score"}})
