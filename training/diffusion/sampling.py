"""From noise to latents: deterministic samplers of diffusers, led by classifier-free guidance.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, cast

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from pydantic import Field

from schemas.identity import keyed_rng
from schemas.record import Record
from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.diffusion.objective import Objective
from training.errors import TrainingError


class Sampler(StrEnum):
    """How the way back is walked. Neither draws noise on its way."""

    DDIM = "ddim"  # Song et al. 2021, eta 0
    DPM_SOLVER = "dpm-solver++"  # Lu et al. 2022, second order: as good in fewer steps


class SamplingConfig(Record):
    """How latents are sampled."""

    sampler: Sampler = Field(Sampler.DPM_SOLVER, description="ddim or dpm-solver++.")
    steps: int = Field(
        50,
        ge=1,
        le=10_000,
        description=(
            "Evaluations of the net, each for a conditional and an unconditional half. "
            "DPM-Solver++: 15 to 50."
        ),
    )
    guidance: float = Field(
        3.0,
        ge=0,
        description=(
            "How far to go from the unconditional towards the conditional prediction; "
            "1: no guidance. TANGO, Mustango: 3."
        ),
    )


# noisy latents (B, C, T, F), steps (B,) to a prediction
Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def sampled_latents(
    model: LatentDiffusion,
    conditions: Conditions,
    empty_text: Tokens,
    *,
    keys: Sequence[str],
    seed: int,
    frames: int,
    bands: int,
    config: SamplingConfig | None = None,
) -> torch.Tensor:
    """One latent per key, (B, C, T, F) in float32, on the device of the conditions.

    A key's noise depends on seed and key alone, so the rest of its batch changes nothing but
    rounding. `empty_text` is the encoder's of "", one row. Raises `TrainingError` where keys and
    conditions differ in number.
    """
    rules, text = config or SamplingConfig(), conditions.text.states_BLD
    if len(keys) != len(text):
        raise TrainingError(f"{len(keys)} keys for conditions of {len(text)} samples")
    shape = (model.munet.config.latent_channels, frames, bands)
    start = torch.stack([_noise(seed, key, shape) for key in keys]).to(text.device)
    with torch.no_grad():
        return denoised(
            _guided(model, conditions, empty_text, rules.guidance), start, model.objective, rules
        )


def denoised(
    predict: Predict, start_BCTF: torch.Tensor, objective: Objective, config: SamplingConfig
) -> torch.Tensor:
    """The way from noise to latents with any predictor of the objective's target."""
    scheduler = _scheduler(objective, config.sampler)
    scheduler.set_timesteps(config.steps, device=start_BCTF.device)
    x_BCTF = start_BCTF * scheduler.init_noise_sigma
    for step in scheduler.timesteps:
        prediction = predict(x_BCTF, step.expand(len(x_BCTF)))
        x_BCTF = scheduler.step(prediction.float(), step, x_BCTF).prev_sample
    return cast(torch.Tensor, x_BCTF)


def _guided(
    model: LatentDiffusion, conditions: Conditions, empty_text: Tokens, guidance: float
) -> Predict:
    """A predictor with both halves in one batch (Ho & Salimans 2022) and tokens made once."""
    alone = guidance == 1
    whole = conditions if alone else conditions.joined(conditions.unconditional(empty_text))
    context = model.context(whole)

    def predict(x_BCTF: torch.Tensor, steps_B: torch.Tensor) -> torch.Tensor:
        if alone:
            return cast(torch.Tensor, model.munet(x_BCTF, steps_B, context, whole.seconds_B2))
        predictions = model.munet(
            torch.cat([x_BCTF, x_BCTF]), torch.cat([steps_B, steps_B]), context, whole.seconds_B2
        ).float()
        conditional, unconditional = predictions.chunk(2)
        return cast(torch.Tensor, unconditional + guidance * (conditional - unconditional))

    return predict


def _scheduler(objective: Objective, sampler: Sampler) -> Any:
    """Steps are spaced back from the noisiest, so that sampling begins where pure noise was learned
    (Lin et al. 2024).
    """
    learned = objective.scheduler.config
    if sampler is Sampler.DDIM:
        return DDIMScheduler.from_config(learned, timestep_spacing="trailing", clip_sample=False)
    return DPMSolverMultistepScheduler.from_config(
        learned, timestep_spacing="trailing", algorithm_type="dpmsolver++", solver_order=2
    )


def _noise(seed: int, key: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(
        keyed_rng(seed, key, "sampling").standard_normal(shape, dtype=np.float32)
    )
