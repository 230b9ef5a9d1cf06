"""What a net learns: noise or velocity of latents at a drawn step; how much a step counts.

Shapes: B samples, C channels, T frames, F bands.
"""

from enum import StrEnum
from typing import Self, cast

import torch
from diffusers import DDPMScheduler
from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Record


class Target(StrEnum):
    """What the net predicts, in diffusers' names."""

    EPSILON = "epsilon"  # the noise (Ho et al. 2020)
    V = "v_prediction"  # the velocity, alpha × noise − sigma × latent (Salimans & Ho 2022)


class BetaSchedule(StrEnum):
    """How noise grows over the steps, in diffusers' names."""

    LINEAR = "linear"
    SCALED_LINEAR = "scaled_linear"  # linear in the root of beta: latent diffusion's
    COSINE = "squaredcos_cap_v2"  # Nichol & Dhariwal 2021; takes no beta_start and beta_end


class ObjectiveConfig(Record):
    """Noise and loss.

    The defaults are Mustango's: the schedule of Stable Diffusion 2.1, which predicts v, and gamma
    5.
    """

    target: Target = Field(
        Target.V, description="What the net predicts. Stable Diffusion 2.1, TANGO, Mustango: v."
    )
    steps: int = Field(
        1000, ge=2, le=100_000, description="Steps from latent to noise. Ho et al. 2020: 1000."
    )
    schedule: BetaSchedule = Field(
        BetaSchedule.SCALED_LINEAR, description="How noise grows. Stable Diffusion: scaled_linear."
    )
    beta_start: float = Field(
        0.00085,
        gt=0,
        lt=1,
        description="Share of noise added by the first step. Stable Diffusion: 0.00085.",
    )
    beta_end: float = Field(
        0.012, gt=0, lt=1, description="And by the last. Stable Diffusion: 0.012."
    )
    snr_gamma: float | None = Field(
        5.0,
        gt=0,
        description=(
            "Min-SNR weight: no step's latent counts more than this. "
            "Hang et al. 2023, TANGO, Mustango: 5. None: equal."
        ),
    )
    zero_terminal: bool = Field(
        False,
        description=(
            "Rescale the schedule so that nothing of the latent is left at the last step: a model "
            "learns to give a clip its level, which playing from pure noise asks of it (Lin et al. "
            "2024). Takes v. Not in published weights."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.zero_terminal and self.target is not Target.V:
            raise SchemaError(
                "objective.zero_terminal takes objective.target=v_prediction: at the last step, "
                "where all is noise, predicted noise says nothing of the latent"
            )
        return self


class Objective:
    """Noises latents and weighs errors.

    Tables are held in float32; latents and noise should be too.

    >>> objective = Objective(ObjectiveConfig(target="epsilon"))
    >>> round(float(objective.weight(torch.tensor([0]))), 4)  # SNR is 1176 at the first step
    0.0043
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.config = config
        self.scheduler = DDPMScheduler(
            num_train_timesteps=config.steps,
            beta_start=config.beta_start,
            beta_end=config.beta_end,
            beta_schedule=str(config.schedule),
            prediction_type=str(config.target),
            clip_sample=False,  # latents are not pictures: nothing bounds them
            rescale_betas_zero_snr=config.zero_terminal,
        )
        alphas = self.scheduler.alphas_cumprod
        self.snr = alphas / (1 - alphas)  # by step

    def noised(
        self, latents: torch.Tensor, noise: torch.Tensor, steps_B: torch.Tensor
    ) -> torch.Tensor:
        """Latents with as much noise as their steps say, shaped as they are."""
        return cast(torch.Tensor, self.scheduler.add_noise(latents, noise, steps_B))

    def target(
        self, latents: torch.Tensor, noise: torch.Tensor, steps_B: torch.Tensor
    ) -> torch.Tensor:
        """What the net should have said."""
        if self.config.target is Target.EPSILON:
            return noise
        return cast(torch.Tensor, self.scheduler.get_velocity(latents, noise, steps_B))

    def weight(self, steps_B: torch.Tensor) -> torch.Tensor:
        """How much each step's squared error counts: (B,).

        Hang et al. 2023 (arXiv 2303.09556, section 3.4) give the error of the latent the weight
        min(SNR, gamma). The same error measured on the noise is SNR times smaller, and on v SNR + 1
        times, so the weight is divided by that. (The published code of Mustango uses the weight of
        the noise with a target of v.)
        """
        snr_B = self.snr.to(steps_B.device)[steps_B]
        if self.config.snr_gamma is None:
            return torch.ones_like(snr_B)
        weight_B: torch.Tensor = snr_B.clamp(max=self.config.snr_gamma) / (
            snr_B if self.config.target is Target.EPSILON else snr_B + 1
        )
        return weight_B

    def clean(
        self, prediction: torch.Tensor, noisy: torch.Tensor, steps_B: torch.Tensor
    ) -> torch.Tensor:
        """The latent that a prediction amounts to, shaped as it is."""
        alpha, sigma = self._shares(noisy, steps_B)
        if self.config.target is Target.EPSILON:
            return (noisy - sigma * prediction) / alpha
        return alpha * noisy - sigma * prediction

    def prediction(
        self, clean: torch.Tensor, noisy: torch.Tensor, steps_B: torch.Tensor
    ) -> torch.Tensor:
        """The prediction that amounts to a latent: the inverse of `clean`."""
        alpha, sigma = self._shares(noisy, steps_B)
        if self.config.target is Target.EPSILON:
            return (noisy - alpha * clean) / sigma
        return (alpha * noisy - clean) / sigma

    def _shares(
        self, noisy: torch.Tensor, steps_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How much of a noisy latent is latent, and how much noise, as factors."""
        alphas_B = self.scheduler.alphas_cumprod.to(noisy.device)[steps_B]
        shares_B111 = alphas_B.reshape(-1, *[1] * (noisy.dim() - 1))
        return shares_B111.sqrt(), (1 - shares_B111).sqrt()

    def loss(
        self,
        prediction: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        steps_B: torch.Tensor,
        frames_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Weighted mean squared error of each sample: (B,), in float32.

        Of a sample with fewer frames of its own the rest, which is padding, does not count; one
        with none has no error.
        """
        error_BT = (
            (prediction.float() - self.target(latents, noise, steps_B).float())
            .square()
            .mean(dim=(1, 3))
        )
        if frames_B is None:
            return error_BT.mean(1) * self.weight(steps_B)
        own_BT = torch.arange(error_BT.shape[1], device=error_BT.device) < frames_B[:, None]
        return (error_BT * own_BT).sum(1) / frames_B.clamp(min=1) * self.weight(steps_B)
