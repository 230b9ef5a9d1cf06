"""What a model plays for fixed prompts while it learns: the first samples of validation, by their
own captions, beats and chords.

Shapes: B prompts, S samples of a wave.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from training.data.loading import TrainingBatch
from training.diffusion.sampling import sampled_latents
from training.run.trainer import Trainer


class Preview(NamedTuple):
    """Sounds of fixed prompts."""

    prompts: tuple[str, ...]
    keys: tuple[str, ...]
    waves: list[npt.NDArray[np.float32]]
    rate_hz: int


def preview(trainer: Trainer, batch: TrainingBatch, count: int) -> Preview:
    """The averaged weights' sounds for the first `count` samples of a batch; all processes must
    ask, for shares of weights.
    """
    device, recipe = trainer.world.device, trainer.recipe
    with torch.no_grad(), trainer.ema.playing(), trainer.precision():
        latents_BCTF = sampled_latents(
            trainer.model,
            trainer.conditions(batch).first(count),
            trainer.states.encode([""]).to(device),
            keys=batch.keys[:count],
            seed=recipe.run.seed,
            frames=batch.noise_BCTF.shape[2],
            bands=batch.noise_BCTF.shape[3],
            config=recipe.sampling,
        )
    waves_BS = trainer.codec.decode(latents_BCTF.float()).cpu().numpy()
    return Preview(
        batch.prompts[:count], batch.keys[:count], list(waves_BS), trainer.codec.facts.rate_hz
    )
