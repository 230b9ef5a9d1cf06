"""A model's way from noise to latents, led by classifier-free guidance.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import torch

from schemas.identity import keyed_rng
from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.errors import TrainingError
from training.objectives.path import Objective
from training.samplers.config import SamplingConfig
from training.samplers.denoise import Between, Predict, denoised, keep

# by channel the least and the largest value of latents
LatentRange = Sequence[tuple[float, float]]


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
    between: Between = keep,
) -> torch.Tensor:
    """One latent per key, (B, C, T, F) in float32, on the device of the conditions.

    A key's noise depends on seed and key alone, so the rest of its batch changes nothing but
    rounding. `empty_text` is the encoder's of "", one row. `between` is called after each step.
    Gradients pass, unless the caller is under `no_grad`. Raises `TrainingError` where keys and
    conditions differ in number.
    """
    rules, text = config or SamplingConfig(), conditions.text.states_BLD
    if len(keys) != len(text):
        raise TrainingError(f"{len(keys)} keys for conditions of {len(text)} samples")
    shape = (model.net.config.latent_channels, frames, bands)

    def noise(purpose: str) -> torch.Tensor:
        return torch.stack([_noise(seed, key, purpose, shape) for key in keys]).to(text.device)

    return denoised(
        predictor(model, conditions, empty_text, rules, latent_range),
        noise("sampling"),
        model.objective,
        rules,
        between=between,
        fresh=lambda number: noise(f"sampling step {number}"),
    )


def predictor(
    model: LatentDiffusion,
    conditions: Conditions,
    empty_text: Tokens,
    rules: SamplingConfig,
    latent_range: LatentRange = (),
) -> Predict:
    """What a sampler asks: the model, guided, its clean estimates kept within the range of latents
    where the rules say so.
    """
    predict = _guided(model, conditions, empty_text, rules)
    if rules.clamp and latent_range:
        return _clamped(predict, model.objective, latent_range)
    return predict


def _guided(
    model: LatentDiffusion, conditions: Conditions, empty_text: Tokens, rules: SamplingConfig
) -> Predict:
    """A predictor with all parts of the guidance in one batch, and tokens made once."""
    parts = _parts(conditions, empty_text, rules)
    whole = reduce(Conditions.joined, parts)
    context, count = model.context(whole), len(parts)

    def predict(x_BCTF: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        predictions = model.net(
            torch.cat([x_BCTF] * count),
            model.objective.steps(torch.cat([times_B] * count)),
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

    def clamped(x_BCTF: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        low, high = bounds_C2.to(x_BCTF).T[..., None, None]
        clean = objective.clean(predict(x_BCTF, times_B).float(), x_BCTF, times_B)
        return objective.prediction(clean.clamp(low, high), x_BCTF, times_B)

    return clamped


def _noise(seed: int, key: str, purpose: str, shape: tuple[int, ...]) -> torch.Tensor:
    rng = keyed_rng(seed, key, purpose)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
