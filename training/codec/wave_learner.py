"""An autoencoder of waves as the loop trains it.

Shapes: B clips of a micro-batch, A channels of the wave, S samples, C latent channels, T latent
frames, P parts of the loss, D draws.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from pipelines.codecs.layout import by_channel
from training.codec.lesson import PARTS, Lesson
from training.codec.wave_recipe import WaveRecipe
from training.data.loading import TrainingBatch
from training.run.learner import LaunchedStep, Learner
from training.run.parallel import World, wrapped
from training.run.prefetch import moved
from training.run.recipe import Parallel
from training.run.step_figures import StepFigures


class ReadyWaves(NamedTuple):
    """A micro-batch on the device, and what it was made of."""

    batch: TrainingBatch
    waves_BAS: torch.Tensor
    noise_BCT: torch.Tensor
    frames_B: torch.Tensor
    draws_BD: torch.Tensor


class WaveLearner(Learner[ReadyWaves]):
    """Autoencoder, critic, and one optimizer for both; from `loss.judged_from` on the critic learns
    and judges in each step.
    """

    recipe: WaveRecipe
    model: Lesson

    def __init__(self, recipe: WaveRecipe, world: World) -> None:
        self.recipe = recipe
        torch.manual_seed(recipe.run.seed)
        model = Lesson(recipe).to(world.device)
        net = wrapped(model, world, Parallel.DDP, recipe.run.precision)
        super().__init__(recipe, world, model, net)
        self._is_judged = False
        self._parts: list[torch.Tensor] = []  # (B, P) of the micro-batches of a step

    def ready(self, batch: TrainingBatch) -> ReadyWaves:
        """A micro-batch on the device."""
        waves, noise_BCTF, frames_B, draws_BD = moved(
            (batch.sounds, batch.noise_BCTF, batch.frames_B, batch.draws_BD), self.world.device
        )
        return ReadyWaves(batch, by_channel(waves), noise_BCTF[..., 0], frames_B, draws_BD)

    def losses(self, batch: ReadyWaves) -> torch.Tensor:
        """Loss of each clip, (B,), without the critic's judgement: comparable in both phases."""
        return self._lesson(batch, is_judged=False)[0]

    def step(
        self, batches: Sequence[ReadyWaves], step: int, *, stopping: bool = False
    ) -> LaunchedStep:
        """Learn from the micro-batches of a step."""
        self._is_judged, self._parts = step >= self.recipe.loss.judged_from, []
        return super().step(batches, step, stopping=stopping)

    def _learned_losses(self, batch: ReadyWaves) -> torch.Tensor:
        total_B, parts_BP = self._lesson(batch, is_judged=self._is_judged)
        self._parts.append(parts_BP)
        return total_B

    def _lesson(self, batch: ReadyWaves, *, is_judged: bool) -> tuple[torch.Tensor, torch.Tensor]:
        with self.precision():
            total_B, parts_BP = self.net(
                batch.waves_BAS, batch.noise_BCT, batch.draws_BD, is_judged
            )
        counted_B = (batch.frames_B > 0).float()
        return total_B * counted_B, parts_BP * counted_B[:, None]

    def _clipped_norm(self) -> torch.Tensor:
        """The autoencoder's norm; the critic's gradient is scaled down by itself, and is none while
        it does not judge.
        """
        limit, critic = self.recipe.optim.clip, list(self.model.critic.parameters())
        if self._is_judged:
            torch.nn.utils.clip_grad_norm_(critic, limit)
        else:
            for parameter in critic:
                parameter.grad = None
        return torch.nn.utils.clip_grad_norm_(self.model.net.parameters(), limit)

    def _summed(
        self, batches: Sequence[ReadyWaves], losses: Sequence[torch.Tensor], *, stopping: bool
    ) -> torch.Tensor:
        """Over all processes: the loss, its parts, how many clips, and how many are to stop."""
        loss = torch.cat([*losses]).sum()
        parts_P = torch.cat(self._parts).sum(0)
        counted = torch.cat([batch.frames_B for batch in batches]).gt(0).sum()
        stops = torch.full_like(loss, float(stopping))
        return self.world.summed(
            torch.stack([loss, *parts_P, counted.to(loss), stops]).detach().float()
        )

    def figures(self, launched: LaunchedStep) -> StepFigures:
        """What a step gave, as soon as the device is done with it."""
        loss, *parts, counted, stops, norm = launched.numbers.read()
        samples = int(counted)
        return StepFigures(
            loss=loss / max(1, samples),
            parts={name: value / max(1, samples) for name, value in zip(PARTS, parts, strict=True)},
            gradient_norm=norm,
            lr=launched.lr,
            samples=samples,
            unusable=self.recipe.data.batch - samples,
            stopping=stops > 0,
        )
