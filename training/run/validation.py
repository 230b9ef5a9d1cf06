"""The loss on held-out samples, with the same noise at the same steps each time."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.run.trainer import Trainer


def validation_loss(trainer: Trainer, samples: Samples, count: int) -> float:
    """Mean loss of the averaged weights over about `count` samples, in whole micro-batches."""
    world = trainer.world
    sums_2 = torch.zeros(2, device=world.device)
    with (
        torch.no_grad(),
        trainer.ema.playing(),
        validation_batches(trainer, samples, count) as loader,
    ):
        for batch in loader:
            loss_B = trainer.losses(batch).float()
            sums_2 += torch.stack([loss_B.sum(), (batch.frames_B > 0).sum().to(loss_B)])
    total, counted = world.summed(sums_2).tolist()
    return float(total / max(1.0, counted))


def validation_batches(
    trainer: Trainer, samples: Samples, count: int
) -> AbstractContextManager[Iterator[TrainingBatch]]:
    """This process's share of the first samples of validation's order."""
    world, micro = trainer.world, trainer.recipe.data.micro_batch
    share = BatchShare(micro * world.ranks, micro, world.rank, world.ranks)
    return batches(samples, share, first_step=0, last_step=max(1, count // share.batch), workers=0)
