"""A model's pieces, steered by optimised noise.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.diffusion.sampling import LatentRange, keyed_noise, predictor
from training.samplers.config import SamplingConfig
from training.samplers.denoise import denoised
from training.steering.optimise import Optimised, Steering, optimised


def steered_latents(
    model: LatentDiffusion,
    conditions: Conditions,
    empty_text: Tokens,
    steering: Steering,
    *,
    keys: Sequence[str],
    seed: int,
    frames: int,
    bands: int,
    sampling: SamplingConfig | None = None,
    latent_range: LatentRange = (),
) -> Optimised:
    """One latent per key, from the noise that `sampled_latents` begins with, moved until the loss
    is small. A key's depends on seed and key alone, as there. Raises `TrainingError` where keys and
    conditions differ in number, or a loss is not a number.
    """
    rules = sampling or SamplingConfig()
    noise = keyed_noise(model, conditions, keys=keys, seed=seed, frames=frames, bands=bands)
    with _frozen(model):
        with torch.no_grad():  # conditions are the same all along
            predict = predictor(model, conditions, empty_text, rules, latent_range)
        found = optimised(
            predict,
            noise.start(),
            model.objective,
            rules,
            steering,
            fresh=noise.at_step,
        )
        if steering.played is None:
            return found
        with torch.no_grad():
            predict = predictor(model, conditions, empty_text, steering.played, latent_range)
            latents_BCTF = denoised(
                predict,
                found.noise_BCTF,
                model.objective,
                steering.played,
                fresh=noise.at_step,
            )
        return found._replace(latents_BCTF=latents_BCTF)


@contextmanager
def _frozen(model: torch.nn.Module) -> Iterator[None]:
    """Weights want no gradients for a while, and then what they wanted."""
    learned = [one for one in model.parameters() if one.requires_grad]
    for one in learned:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in learned:
            one.requires_grad_()
