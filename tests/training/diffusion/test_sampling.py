"""Samplers find what an ideal predictor points at; guidance is linear; a seed and a key are a
latent.
"""

from typing import cast

import pytest
import torch
from pydantic import ValidationError

from tests.training.micro import BANDS, EMPTY_TEXT, FRAMES, TWO, conditions, latents, model, times
from training.diffusion.model import Conditions, LatentDiffusion
from training.diffusion.sampling import LatentRange, sampled_latents
from training.errors import TrainingError
from training.munet.net import MuNet
from training.objectives.diffusion import BetaSchedule, Diffusion, DiffusionConfig, Target
from training.samplers.config import OF_ALL_NETS, Sampler, SamplingConfig
from training.samplers.denoise import Between, Predict, denoised, keep
from training.samplers.guidance import guided_prediction, projected_guidance, thresholded

FOUR_STEPS = SamplingConfig(sampler=Sampler.DDIM, steps=4)
BOTH = [(sampler, target) for sampler in OF_ALL_NETS for target in Target]


def ideal(objective: Diffusion, mean: torch.Tensor, spread: float) -> Predict:
    """The best predictor of Gaussian latents with a mean and a standard deviation, from the closed
    form of their posterior.
    """
    signal = objective.left

    def predict(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        steps = objective.steps(times)
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
    objective = Diffusion(DiffusionConfig(target=target, schedule=schedule))
    found = denoised(
        ideal(objective, latents(seed=3), 0.0),
        latents(seed=4),
        objective,
        SamplingConfig(sampler=sampler, steps=20),
        fresh=lambda number: latents(seed=10 + number),
    )
    assert torch.allclose(found, latents(seed=3), atol=2e-2)


@pytest.mark.parametrize(("sampler", "target"), BOTH)
def test_samples_spread_as_the_latents_do(sampler: Sampler, target: Target) -> None:
    objective = Diffusion(DiffusionConfig(target=target))
    rng = torch.Generator().manual_seed(5)
    start = torch.randn(64, 4, 16, 4, generator=rng)
    mean = torch.full((1, 4, 16, 4), 0.5)
    found = denoised(
        ideal(objective, mean, 0.8),
        start,
        objective,
        SamplingConfig(sampler=sampler, steps=50),
        fresh=lambda _: torch.randn(start.shape, generator=rng),
    )
    assert found.mean().item() == pytest.approx(0.5, abs=0.05)
    assert found.std().item() == pytest.approx(0.8, rel=0.1)


class Pointing(torch.nn.Module):
    """Stands for a net that always means one latent for each part of the guidance: for all
    conditions, for the text alone, for none. It counts the questions it is asked.
    """

    def __init__(self, made: LatentDiffusion, *meant: torch.Tensor) -> None:
        super().__init__()
        self.config, self.rows = made.net.config, list[int]()
        self.predictors = [ideal(cast(Diffusion, made.objective), one, 0.0) for one in meant]

    def forward(
        self, x: torch.Tensor, steps: torch.Tensor, context: object, *nothing: None
    ) -> torch.Tensor:
        self.rows.append(len(x))
        times = (steps + 0.5) / 1000
        halves = zip(self.predictors, torch.split(x, 2), torch.split(times, 2))
        return torch.cat([predict(part, time) for predict, part, time in halves])


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guidance_goes_on_from_the_untold_through_the_told(guidance: float) -> None:
    made, conditional, unconditional = model(), latents(seed=6), latents(seed=7)
    made.munet = cast(MuNet, Pointing(made, conditional, unconditional))
    found = played(made, SamplingConfig(guidance=guidance, steps=12))
    assert torch.allclose(
        found, unconditional + guidance * (conditional - unconditional), atol=5e-2
    )
    assert made.munet.rows == [2 if guidance == 1 else 4] * 12  # both halves in one question


def test_controls_have_a_guidance_of_their_own() -> None:
    made, *meant = model(), *(latents(seed=seed) for seed in (6, 7, 8))
    made.munet = cast(MuNet, Pointing(made, *meant))
    found = played(made, SamplingConfig(guidance=2.0, guidance_controls=1.5, steps=12))
    everything, text_alone, nothing = meant
    led = nothing + 2.0 * (text_alone - nothing) + 1.5 * (everything - text_alone)
    assert torch.allclose(found, led, atol=5e-2)
    assert made.munet.rows == [6] * 12


def test_the_text_s_and_the_controls_guidance_alike_is_one_guidance() -> None:
    whole, apart = (
        played(model(), SamplingConfig(guidance=3.0, guidance_controls=both, steps=4))
        for both in (None, 3.0)
    )
    assert torch.allclose(whole, apart, atol=1e-3)


def test_a_rescaled_guidance_is_spread_as_the_conditional_prediction_is() -> None:
    parts = [latents(seed=6), latents(seed=7)]
    plain, half, whole = (
        guided_prediction(parts, SamplingConfig(guidance=4.0, guidance_rescale=by))
        for by in (0.0, 0.5, 1.0)
    )
    spread = parts[0].std(dim=(1, 2, 3))
    assert torch.allclose(plain, parts[1] + 4 * (parts[0] - parts[1]))
    assert torch.allclose(whole.std(dim=(1, 2, 3)), spread)
    assert torch.allclose(half, (plain + whole) / 2, atol=1e-5)


def test_clean_estimates_stay_within_the_range_of_their_channel() -> None:
    made, far = model(), 5 + latents(seed=6)
    made.munet = cast(MuNet, Pointing(made, far))
    bounds = [(-1.0, 0.5 + channel) for channel in range(far.shape[1])]
    rules = SamplingConfig(guidance=1.0, clamp=True, steps=12)
    found = played(made, rules, latent_range=bounds)
    assert [round(float(one), 3) for one in found.amax(dim=(0, 2, 3))] == [0.5, 1.5, 2.5, 3.5]
    assert torch.allclose(played(made, rules), far, atol=5e-2)  # nothing is known of the data


def test_guidance_is_taken_within_its_interval_alone() -> None:
    made, conditional, unconditional = model(), latents(seed=6), latents(seed=7)
    pointing = Pointing(made, conditional, unconditional)
    made.munet = cast(MuNet, pointing)
    rules = SamplingConfig(guidance=3.0, guidance_interval=(0.3, 0.7), steps=10)
    found = played(made, rules)
    # times 0.9995, 0.8995 … 0.0995: of ten, those from 0.6995 to 0.3995 lie within
    assert pointing.rows == [2, 2, 2, 4, 4, 4, 4, 2, 2, 2]
    assert torch.allclose(found, conditional, atol=5e-2)  # the last steps say so


def test_projected_guidance_works_on_clean_estimates() -> None:
    made, conditional, unconditional = model(), latents(seed=6), latents(seed=7)
    made.munet = cast(MuNet, Pointing(made, conditional, unconditional))
    rules = SamplingConfig(guidance=3.0, guidance_parallel=0.0, guidance_norm=2.0, steps=12)
    wanted = projected_guidance((conditional, unconditional), rules)
    assert torch.allclose(played(made, rules), wanted, atol=5e-2)
    assert (wanted - conditional).flatten(1).norm(dim=1).max() < 4.01  # twice the largest norm


def test_a_clean_estimate_s_quantile_is_brought_down() -> None:
    made, loud = model(), 9 * latents(seed=6)
    made.munet = cast(MuNet, Pointing(made, loud))
    rules = SamplingConfig(guidance=1.0, threshold=0.9, threshold_level=3.0, steps=12)
    found = played(made, rules)
    assert torch.allclose(found, thresholded(loud, 0.9, 3.0), atol=5e-2)
    assert found.abs().max() < 3.01


def test_knobs_that_are_off_change_no_bit() -> None:
    """A way written out, as it was before there were knobs."""
    made = model()
    whole = TWO.joined(TWO.unconditional(EMPTY_TEXT))
    rules = FOUR_STEPS.replaced(guidance=2.0)
    walked: list[torch.Tensor] = []

    def note(x: torch.Tensor, _clean: torch.Tensor, _time: float) -> torch.Tensor:
        walked.append(x)
        return x

    with torch.no_grad():
        sampled(made, TWO, "a", "b", rules=rules, between=note)
        here, there = made.objective.way(4, FRAMES)[1:3]
        x = walked[0]
        said = made.net(
            torch.cat([x, x]),
            made.objective.steps(torch.full((4,), here.time)),
            made.context(whole),
            whole.seconds_B2,
            whole.rows_BTR,
        )
        conditional, nothing = said.float().chunk(2)
        estimate = made.objective.estimate(nothing + 2.0 * (conditional - nothing), x, here)
    assert torch.equal(walked[1], there.alpha * estimate.clean + there.sigma * estimate.noise)


def test_a_zero_terminal_schedule_leaves_nothing_of_the_latent_and_plays_its_ideal() -> None:
    objective = Diffusion(DiffusionConfig(zero_terminal=True))
    last = times(999, 999)
    assert torch.allclose(
        objective.noised(latents(seed=1), latents(seed=2), last), latents(seed=2), atol=1e-3
    )
    meant = latents(seed=3)
    for sampler in OF_ALL_NETS:
        rules = SamplingConfig(sampler=sampler, steps=25)
        found = denoised(
            ideal(objective, meant, 0.0),
            latents(seed=4),
            objective,
            rules,
            fresh=lambda number: latents(seed=10 + number),
        )
        assert torch.allclose(found, meant, atol=1e-2)


def test_a_zero_terminal_schedule_takes_v() -> None:
    with pytest.raises(ValidationError, match="the last step"):
        DiffusionConfig(zero_terminal=True, target="epsilon")


@pytest.mark.parametrize("target", Target)
def test_a_clean_estimate_and_a_prediction_are_each_other_s_inverse(target: Target) -> None:
    objective = Diffusion(DiffusionConfig(target=target))
    drawn, latent, noise = times(10, 900), latents(seed=1), latents(seed=2)
    noisy = objective.noised(latent, noise, drawn)
    prediction = objective.target(latent, noise, drawn)
    assert torch.allclose(objective.clean(prediction, noisy, drawn), latent, atol=1e-4)
    assert torch.allclose(objective.prediction(latent, noisy, drawn), prediction, atol=1e-3)


def played(
    made: LatentDiffusion, rules: SamplingConfig, latent_range: LatentRange = ()
) -> torch.Tensor:
    return sampled(made, TWO, "a", "b", rules=rules, latent_range=latent_range)


def sampled(
    made: LatentDiffusion,
    conditional: Conditions,
    *keys: str,
    seed: int = 0,
    rules: SamplingConfig = FOUR_STEPS,
    latent_range: LatentRange = (),
    between: Between = keep,
) -> torch.Tensor:
    return sampled_latents(
        made,
        conditional,
        EMPTY_TEXT,
        keys=keys,
        seed=seed,
        frames=FRAMES,
        bands=BANDS,
        config=rules,
        latent_range=latent_range,
        between=between,
    )


def test_a_seed_and_a_key_are_a_latent() -> None:
    made = model()
    first = sampled(made, TWO, "a", "b")
    assert torch.equal(first, sampled(made, TWO, "a", "b"))
    assert not torch.allclose(first, sampled(made, TWO, "a", "b", seed=1), atol=0.1)
    alone = sampled(made, conditions(("A:min", "D:min")), "b")
    assert torch.allclose(alone[0], first[1], atol=1e-4)
    assert first.shape == (2, 4, FRAMES, BANDS)


def test_every_sample_needs_a_key() -> None:
    with pytest.raises(TrainingError, match="1 keys for conditions of 2 samples"):
        sampled(model(), TWO, "a")
