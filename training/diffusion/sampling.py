"""A model's way from noise to latents, led by classifier-free guidance.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch

from schemas.identity import keyed_rng
from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.errors import TrainingError
from training.objectives.path import Objective
from training.samplers.config import SamplingConfig, check_sampler
from training.samplers.denoise import Between, Predict, denoised, keep
from training.samplers.guidance import (
    guided_prediction,
    is_projected,
    projected_guidance,
    thresholded,
)

# by channel the least and the largest value of latents
LatentRange = Sequence[tuple[float, float]]
# times (B,) to the guidance of each sample there (B,)
GuidanceAt = Callable[[torch.Tensor], torch.Tensor]


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
    rules = config or SamplingConfig()
    noise = keyed_noise(model, conditions, keys=keys, seed=seed, frames=frames, bands=bands)
    return denoised(
        predictor(model, conditions, empty_text, rules, latent_range),
        noise.start(),
        model.objective,
        rules,
        between=between,
        fresh=noise.at_step,
    )


def predictor(
    model: LatentDiffusion,
    conditions: Conditions,
    empty_text: Tokens,
    rules: SamplingConfig,
    latent_range: LatentRange = (),
    guidance_at: GuidanceAt | None = None,
    frames_B: torch.Tensor | None = None,
) -> Predict:
    """What a sampler asks: the model, guided, its clean estimates kept within limits where the
    rules say so. With `guidance_at` each sample has a guidance of its own, at each time; without,
    that of the rules. A student is told its guidance, and asked once. `frames_B` says how many
    frames of each are not padding, where some are.

    Raises `TrainingError` for rules that are not a student's, or a student's alone.
    """
    check_sampler(rules, is_student=model.is_student)
    if model.is_student:
        return _told(model, conditions, rules)
    predict = _guided(model, conditions, empty_text, rules, guidance_at, frames_B)
    if guidance_at is None and rules.guidance_interval != (0.0, 1.0):
        alone = _guided(model, conditions, empty_text, _unguided(rules))
        predict = _switched(predict, alone, rules.guidance_interval)
    bounds = latent_range if rules.clamp else ()
    if bounds or rules.threshold is not None:
        return _limited(predict, model.objective, rules, bounds)
    return predict


def _told(model: LatentDiffusion, conditions: Conditions, rules: SamplingConfig) -> Predict:
    """A student's predictor: of jumps of no length, where nobody says where they end."""
    context = model.context(conditions)

    def predict(
        x_BCTF: torch.Tensor, times_B: torch.Tensor, ends_B: torch.Tensor | None = None
    ) -> torch.Tensor:
        guidance_B = torch.full_like(times_B, rules.guidance)
        return model.net(
            x_BCTF,
            model.objective.steps(times_B),
            context,
            model.added_seconds(conditions),
            conditions.rows_BTR,
            None,
            model.jump(times_B if ends_B is None else ends_B, guidance_B),
        )

    return predict


def _guided(
    model: LatentDiffusion,
    conditions: Conditions,
    empty_text: Tokens,
    rules: SamplingConfig,
    guidance_at: GuidanceAt | None = None,
    frames_B: torch.Tensor | None = None,
) -> Predict:
    """A predictor with all parts of the guidance in one batch, and tokens made once."""
    parts = _parts(model, conditions, empty_text, rules)
    whole = reduce(Conditions.joined, parts)
    context, seconds_B2, count = model.context(whole), model.added_seconds(whole), len(parts)

    def predict(x_BCTF: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        predictions = model.net(
            torch.cat([x_BCTF] * count),
            model.objective.steps(torch.cat([times_B] * count)),
            context,
            seconds_B2,
            whole.rows_BTR,
            None if frames_B is None else torch.cat([frames_B] * count),
        )
        each = predictions.to(x_BCTF.dtype).chunk(count)
        guidance = None if guidance_at is None else guidance_at(times_B)[:, None, None, None]
        if count == 1 or not is_projected(rules):
            return guided_prediction(each, rules, guidance)
        cleans = [model.objective.clean(one, x_BCTF, times_B) for one in each]
        led = projected_guidance(cleans, rules, guidance)
        return model.objective.prediction(led, x_BCTF, times_B)

    return predict


def _switched(guided: Predict, alone: Predict, interval: tuple[float, float]) -> Predict:
    """A guided predictor within an interval of times, one that is not elsewhere; all of a batch
    stand at one time.
    """
    first, last = interval

    def predict(x_BCTF: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        led = first <= float(times_B[0]) <= last
        return guided(x_BCTF, times_B) if led else alone(x_BCTF, times_B)

    return predict


def _unguided(rules: SamplingConfig) -> SamplingConfig:
    return rules.replaced(guidance=1.0, guidance_controls=None)


def _parts(
    model: LatentDiffusion, conditions: Conditions, empty_text: Tokens, rules: SamplingConfig
) -> tuple[Conditions, ...]:
    """What is predicted for: all conditions; the text alone, where controls have a guidance of
    their own; none, where any is led away from.
    """
    if rules.guidance_controls is not None:
        nothing = model.unconditional(conditions, empty_text)
        return conditions, conditions.text_alone(), nothing
    if rules.guidance == 1:
        return (conditions,)
    return conditions, model.unconditional(conditions, empty_text)


def _limited(
    predict: Predict, objective: Objective, rules: SamplingConfig, latent_range: LatentRange
) -> Predict:
    """A predictor whose clean estimates stay within limits: the rules' quantile, and a range by
    channel, where one is given.
    """
    bounds_C2 = torch.tensor(latent_range)

    def limited(x_BCTF: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        clean = objective.clean(predict(x_BCTF, times_B).to(x_BCTF.dtype), x_BCTF, times_B)
        if rules.threshold is not None:
            clean = thresholded(clean, rules.threshold, rules.threshold_level)
        if len(bounds_C2):
            low, high = bounds_C2.to(x_BCTF).T[..., None, None]
            clean = clean.clamp(low, high)
        return objective.prediction(clean, x_BCTF, times_B)

    return limited


class KeyedNoise(NamedTuple):
    """Standard normal noise of a way, (B, C, T, F), by seed and key alone."""

    keys: Sequence[str]
    seed: int
    shape: tuple[int, int, int]  # of one latent
    device: torch.device

    def start(self) -> torch.Tensor:
        """What the way begins with."""
        return self._drawn("sampling")

    def at_step(self, number: int) -> torch.Tensor:
        """What is drawn at a step of it."""
        return self._drawn(f"sampling step {number}")

    def _drawn(self, purpose: str) -> torch.Tensor:
        rngs = [keyed_rng(self.seed, key, purpose) for key in self.keys]
        drawn = [rng.standard_normal(self.shape, dtype=np.float32) for rng in rngs]
        return torch.from_numpy(np.stack(drawn)).to(self.device)


def keyed_noise(
    model: LatentDiffusion,
    conditions: Conditions,
    *,
    keys: Sequence[str],
    seed: int,
    frames: int,
    bands: int,
) -> KeyedNoise:
    """The noise of latents for these conditions, one for each key.

    Raises `TrainingError` where keys and conditions differ in number.
    """
    text = conditions.text.states_BLD
    if len(keys) != len(text):
        raise TrainingError(f"{len(keys)} keys for conditions of {len(text)} samples")
    shape = (model.net.config.latent_channels, frames, bands)
    return KeyedNoise(keys, seed, shape, text.device)
