"""Validation while a model learns: the loss on held-out samples, with the same noise at the same
steps each time, and sounds for the first of them by their own captions, beats and chords.

Shapes: B prompts, S samples of a wave.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from pipelines.codecs.layout import mono
from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.diffusion.sampling import LatentRange, sampled_latents
from training.run.compiled import uncompiled
from training.run.learner import Learner, OnDevice
from training.run.trainer import Trainer

R = TypeVar("R", bound=OnDevice)


class Preview(NamedTuple):
    """Sounds of fixed prompts."""

    prompts: tuple[str, ...]
    keys: tuple[str, ...]
    waves: list[npt.NDArray[np.float32]]
    rate_hz: int


def validation_loss(trainer: Learner[R], samples: Samples, count: int) -> float:
    """Mean loss of the averaged weights over about `count` samples, in whole micro-batches."""
    world = trainer.world
    sums_2 = torch.zeros(2, device=world.device)
    with (
        torch.no_grad(),
        trainer.ema.playing(),
        validation_batches(trainer, samples, count) as loader,
    ):
        for batch in loader:
            ready = trainer.ready(batch)
            loss_B = trainer.losses(ready).float()
            sums_2 += torch.stack([loss_B.sum(), (batch.frames_B > 0).sum().to(loss_B)])
    total, counted = world.summed(sums_2).tolist()
    return float(total / max(1.0, counted))


def validation_batches(
    trainer: Learner[R], samples: Samples, count: int
) -> AbstractContextManager[Iterator[TrainingBatch]]:
    """This process's share of the first samples of validation's order."""
    world, micro = trainer.world, trainer.micro_batch
    share = BatchShare(micro * world.ranks, micro, world.rank, world.ranks)
    return batches(samples, share, first_step=0, last_step=max(1, count // share.batch), workers=0)


def preview(
    trainer: Trainer, batch: TrainingBatch, count: int, latent_range: LatentRange = ()
) -> Preview:
    """The averaged weights' sounds for the first `count` samples of a batch; all processes must
    ask, for shares of weights.
    """
    device, recipe = trainer.world.device, trainer.recipe
    with torch.no_grad(), trainer.ema.playing(), trainer.precision(), uncompiled():
        latents_BCTF = sampled_latents(
            trainer.model,
            trainer.conditions(batch).first(count),
            trainer.states.encode([""]).to(device),
            keys=batch.keys[:count],
            seed=recipe.run.seed,
            frames=batch.noise_BCTF.shape[2],
            bands=batch.noise_BCTF.shape[3],
            config=recipe.sampling,
            latent_range=latent_range,
        )
    with torch.no_grad():
        waves_BS = mono(trainer.codec.decode(latents_BCTF.float())).cpu().numpy()
    return Preview(
        batch.prompts[:count], batch.keys[:count], list(waves_BS), trainer.codec.facts.rate_hz
    )
