"""An autoencoder of waves as the loop trains it.

Shapes: B clips of a micro-batch, A channels of the wave, S samples, C latent channels, T latent
frames, D draws.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from pipelines.codecs.layout import by_channel
from training.codec.judged_learner import JudgedLearner
from training.codec.judged_lesson import Graded
from training.codec.lesson import Lesson
from training.codec.revival import entries_of
from training.codec.wave_recipe import WaveRecipe
from training.data.loading import BatchShare, TrainingBatch
from training.run.learner import LaunchedStep
from training.run.parallel import World
from training.run.prefetch import moved


class ReadyWaves(NamedTuple):
    """A micro-batch on the device, and what it was made of."""

    batch: TrainingBatch
    waves_BAS: torch.Tensor
    noise_BCT: torch.Tensor
    frames_B: torch.Tensor
    draws_BD: torch.Tensor


class WaveLearner(JudgedLearner[ReadyWaves]):
    """Autoencoder and critic."""

    model: Lesson

    def __init__(self, recipe: WaveRecipe, world: World) -> None:
        torch.manual_seed(recipe.run.seed)
        super().__init__(recipe, world, Lesson(recipe).to(world.device))
        averages = dict(zip(map(id, self.learned.values()), self.ema.averages, strict=True))
        books, data = self.model.net.books, recipe.data
        # entries of each codebook, and their averages; none without codebooks
        self._entries = [(one, averages[id(one)]) for one in entries_of(books)] if books else []
        self._share = BatchShare(data.batch, data.micro_batch, world.rank, world.ranks)

    def ready(self, batch: TrainingBatch) -> ReadyWaves:
        """A micro-batch on the device."""
        waves, noise_BCTF, frames_B, draws_BD = moved(
            (batch.sounds, batch.noise_BCTF, batch.frames_B, batch.draws_BD), self.world.device
        )
        return ReadyWaves(batch, by_channel(waves), noise_BCTF[..., 0], frames_B, draws_BD)

    def _graded(self, batch: ReadyWaves, *, is_judged: bool, is_learned: bool) -> Graded:
        """Both are drawn alike whether it is learned or not."""
        graded: Graded = self.net(
            batch.waves_BAS, batch.noise_BCT, batch.frames_B, batch.draws_BD, is_judged
        )
        return graded

    def step(
        self, batches: Sequence[ReadyWaves], step: int, *, stopping: bool = False
    ) -> LaunchedStep:
        """Learn from the micro-batches of a step; then idle entries of codebooks begin anew."""
        self.model.taken.clear()
        launched = super().step(batches, step, stopping=stopping)
        if self.model.revival is not None:
            self.model.revival.revive(self._entries, self.model.taken, self._share, self.world)
        return launched
