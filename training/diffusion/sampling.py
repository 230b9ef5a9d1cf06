"""From noise to latents: deterministic samplers of diffusers, led by classifier-free guidance.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import reduce
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
    guidance_controls: float | None = Field(
        None,
        ge=0,
        description=(
            "Guidance of its own for beats, chords and what else is a control: `guidance` then "
            "leads from nothing to the text, this from the text to text and controls, for half as "
            "much work again. None: one guidance for all. Wants prompts.drop_controls in training."
        ),
    )
    guidance_rescale: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "How far the spread of a guided prediction is brought back to that of the conditional "
            "one. Lin et al. 2024: 0.7. 0: not at all."
        ),
    )
    clamp: bool = Field(
        False,
        description=(
            "Keep the clean estimate of each step within the range of the latents that were "
            "learned from (their 0.01 and 99.99 % by channel)."
        ),
    )


# by channel the least and the largest value of latents
LatentRange = Sequence[tuple[float, float]]
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
    latent_range: LatentRange = (),
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
    predict = _guided(model, conditions, empty_text, rules)
    if rules.clamp and latent_range:
        predict = _clamped(predict, model.objective, latent_range)
    with torch.no_grad():
        return denoised(predict, start, model.objective, rules)


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
    model: LatentDiffusion, conditions: Conditions, empty_text: Tokens, rules: SamplingConfig
) -> Predict:
    """A predictor with all parts of the guidance in one batch, and tokens made once."""
    parts = _parts(conditions, empty_text, rules)
    whole = reduce(Conditions.joined, parts)
    context, count = model.context(whole), len(parts)

    def predict(x_BCTF: torch.Tensor, steps_B: torch.Tensor) -> torch.Tensor:
        predictions = model.munet(
            torch.cat([x_BCTF] * count),
            torch.cat([steps_B] * count),
            context,
            whole.seconds_B2,
            whole.rows_BTR,
        )
        return guided_prediction(predictions.float().chunk(count), rules)

    return predict


def _parts(
    conditions: Conditions, empty_text: Tokens, rules: SamplingConfig
) -> tuple[Conditions, ...]:
    """What is predicted for: all conditions; the text alone, where controls have a guidance of
    their own; none, where any is led away from.
    """
    if rules.guidance_controls is not None:
        return conditions, conditions.text_alone(), conditions.unconditional(empty_text)
    return (
        (conditions,) if rules.guidance == 1 else (conditions, conditions.unconditional(empty_text))
    )


def guided_prediction(predictions: Sequence[torch.Tensor], rules: SamplingConfig) -> torch.Tensor:
    """The guided prediction (Ho & Salimans 2022; by condition as in Brooks et al. 2023)."""
    conditional = predictions[0]
    match list(predictions):
        case [_]:
            return conditional
        case [_, unconditional]:
            led = unconditional + rules.guidance * (conditional - unconditional)
        case [_, text_alone, unconditional]:
            led = unconditional + rules.guidance * (text_alone - unconditional)
            led = led + (rules.guidance_controls or 0) * (conditional - text_alone)
    if not rules.guidance_rescale:
        return led
    spread, wanted = (one.std(dim=(1, 2, 3), keepdim=True) for one in (led, conditional))
    kept = 1 - rules.guidance_rescale
    return led * (kept + rules.guidance_rescale * wanted / spread.clamp(min=1e-8))


def _clamped(predict: Predict, objective: Objective, latent_range: LatentRange) -> Predict:
    """A predictor whose clean estimates stay within a range by channel."""
    bounds_C2 = torch.tensor(latent_range)

    def clamped(x_BCTF: torch.Tensor, steps_B: torch.Tensor) -> torch.Tensor:
        low, high = bounds_C2.to(x_BCTF).T[..., None, None]
        clean = objective.clean(predict(x_BCTF, steps_B).float(), x_BCTF, steps_B)
        return objective.prediction(clean.clamp(low, high), x_BCTF, steps_B)

    return clamped


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
