"""Noise, targets and weights are those of the papers' closed forms."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from training.objectives.diffusion import BetaSchedule, Diffusion, DiffusionConfig, Target

STEPS = torch.tensor([0, 1, 250, 600, 999])
TIMES = (STEPS + 0.5) / 1000


def alpha_bar(steps: torch.Tensor, config: DiffusionConfig) -> np.ndarray:
    """The share of the latent's power that is left, from the definition: betas linear in their
    roots.
    """
    betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, config.steps) ** 2
    return np.asarray(np.cumprod(1 - betas)[steps.numpy()])


def drawn(seed: int) -> torch.Tensor:
    return torch.randn(len(STEPS), 3, 8, 4, generator=torch.Generator().manual_seed(seed))


LATENTS, NOISE = drawn(0), drawn(1)
BOTH = [Target.EPSILON, Target.V]


def column(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).float()[:, None, None, None]


@pytest.mark.parametrize("target", BOTH)
def test_a_noised_latent_is_root_alpha_bar_latent_plus_the_rest_noise(target: Target) -> None:
    config = DiffusionConfig(target=target)
    signal = alpha_bar(STEPS, config)
    expected = column(signal**0.5) * LATENTS + column((1 - signal) ** 0.5) * NOISE
    assert torch.allclose(Diffusion(config).noised(LATENTS, NOISE, TIMES), expected, atol=1e-5)


def test_the_targets_are_the_noise_and_the_velocity() -> None:
    config = DiffusionConfig()
    signal = alpha_bar(STEPS, config)
    velocity = column(signal**0.5) * NOISE - column((1 - signal) ** 0.5) * LATENTS
    assert torch.allclose(Diffusion(config).target(LATENTS, NOISE, TIMES), velocity, atol=1e-5)
    assert torch.equal(
        Diffusion(DiffusionConfig(target=Target.EPSILON)).target(LATENTS, NOISE, TIMES), NOISE
    )


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_weights_are_the_closed_forms_of_min_snr(gamma: float) -> None:
    signal = alpha_bar(STEPS, DiffusionConfig())
    snr = signal / (1 - signal)
    assert snr[0] > 5 > snr[-1]  # both branches
    for target, expected in (
        (Target.EPSILON, np.minimum(snr, gamma) / snr),
        (Target.V, np.minimum(snr, gamma) / (snr + 1)),
    ):
        weight = Diffusion(DiffusionConfig(target=target, snr_gamma=gamma)).weight(TIMES)
        assert np.allclose(weight.numpy(), expected, rtol=1e-4)


def test_both_weighted_losses_measure_the_same_error_of_the_latent() -> None:
    """Whoever guesses the same latent pays the same, whichever way it was said: that is what the
    two weights are for.
    """
    signal = alpha_bar(STEPS, DiffusionConfig())
    alpha, sigma = column(signal**0.5), column((1 - signal) ** 0.5)
    guess = LATENTS + 0.3 * drawn(2)
    noisy = alpha * LATENTS + sigma * NOISE
    noise = (noisy - alpha * guess) / sigma
    velocity = alpha * noise - sigma * guess
    by_noise = Diffusion(DiffusionConfig(target=Target.EPSILON)).loss(noise, LATENTS, NOISE, TIMES)
    by_velocity = Diffusion(DiffusionConfig(target=Target.V)).loss(velocity, LATENTS, NOISE, TIMES)
    snr = torch.from_numpy(signal / (1 - signal)).float()
    expected = snr.clamp(max=5) * (guess - LATENTS).square().flatten(1).mean(1)
    assert torch.allclose(by_noise, expected, rtol=1e-2)
    assert torch.allclose(by_velocity, expected, rtol=1e-2)


def test_without_gamma_every_step_counts_alike() -> None:
    assert Diffusion(DiffusionConfig(snr_gamma=None)).weight(TIMES).tolist() == [1.0] * len(STEPS)


@pytest.mark.parametrize("schedule", BetaSchedule)
def test_noise_only_grows(schedule: BetaSchedule) -> None:
    left = Diffusion(DiffusionConfig(schedule=schedule)).left
    snr = left / (1 - left)
    assert (snr.diff() < 0).all()
    assert snr[0] > 100
    assert snr[-1] < 0.01


def test_the_loss_of_one_sample_is_not_another_s() -> None:
    objective = Diffusion(DiffusionConfig())
    prediction = objective.target(LATENTS, NOISE, TIMES).clone()
    prediction[2] += 1.0
    assert objective.loss(prediction, LATENTS, NOISE, TIMES).tolist() == pytest.approx(
        [0, 0, float(objective.weight(TIMES)[2]), 0, 0]
    )


@pytest.mark.parametrize("schedule", BetaSchedule)
@pytest.mark.parametrize("zero_terminal", [False, True])
def test_schedules_are_those_of_diffusers(schedule: BetaSchedule, zero_terminal: bool) -> None:
    """To the bit, but where the end is stretched to nothing: there within float32's rounding."""
    config = DiffusionConfig(schedule=schedule, zero_terminal=zero_terminal)
    theirs = DDPMScheduler(
        config.steps,
        config.beta_start,
        config.beta_end,
        str(config.schedule),
        rescale_betas_zero_snr=zero_terminal,
    ).alphas_cumprod
    ours = Diffusion(config).left
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6 if zero_terminal else 0)
    assert bool(ours[-1] == 0) == zero_terminal
