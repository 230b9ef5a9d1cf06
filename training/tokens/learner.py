"""A masked model of codes as the loop trains it.

Which codes are masked is drawn from the numbers that each sample gets by its position, so a run
that was resumed masks the same.

Shapes: B clips of a micro-batch, L codebooks, T latent frames, D draws.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from training.data.loading import TrainingBatch
from training.data.token_masks import DrawnMasks, drawn_masks
from training.diffusion.text_encoder import TextCache
from training.run.learner import LaunchedStep, Learner
from training.run.parallel import World, wrapped
from training.run.prefetch import moved
from training.run.recipe import Parallel
from training.run.step_figures import StepFigures
from training.tokens.net import ShownCodes, TokenConditions, TokenNet
from training.tokens.recipe import TokensRecipe

LEVELS: Final = ("coarse", "fine")  # of books, each followed by itself
DRAWS: Final = 1  # of each sample: which of the two is learned


class EvenShares(NamedTuple):
    """How far into the masking schedule samples are learned: all shares alike."""

    def time_of(self, draw: float, _frames: int) -> float:
        """The draw itself."""
        return draw


class ReadyTokens(NamedTuple):
    """A micro-batch on the device, and what it was made of."""

    batch: TrainingBatch
    shown: ShownCodes
    learned_BLT: torch.Tensor
    conditions: TokenConditions


class TokenLearner(Learner[ReadyTokens]):
    """The net and its optimizer."""

    recipe: TokensRecipe
    model: TokenNet

    def __init__(self, recipe: TokensRecipe, states: TextCache, world: World) -> None:
        self.recipe, self.states = recipe, states
        torch.manual_seed(recipe.run.seed)
        model = TokenNet(recipe.model, recipe.codes).to(world.device)
        net = wrapped(model, world, Parallel.DDP, recipe.run.precision)
        super().__init__(recipe, world, model, net)

    def ready(self, batch: TrainingBatch) -> ReadyTokens:
        """A micro-batch on the device, its masks drawn."""
        is_fine_B = batch.draws_BD[:, 0] >= self.recipe.codes.coarse_visits
        masks: DrawnMasks = drawn_masks(
            batch.noise_BCTF[..., 0],
            batch.times_B,
            is_fine_B,
            batch.frames_B,
            self.recipe.codes.coarse,
        )
        shown = ShownCodes(batch.sounds, masks.hidden_BLT, is_fine_B, batch.frames_B)
        conditions = TokenConditions(self.states.encode(batch.prompts), batch.rows_BTR)
        device = self.world.device
        return ReadyTokens(
            batch, moved(shown, device), moved(masks.learned_BLT, device), moved(conditions, device)
        )

    def losses(self, batch: ReadyTokens) -> torch.Tensor:
        """Loss of each clip: (B,)."""
        with self.precision():
            loss_B: torch.Tensor = self.net(batch.shown, batch.learned_BLT, batch.conditions)
        return loss_B

    def _summed(
        self, batches: Sequence[ReadyTokens], losses: Sequence[torch.Tensor], *, stopping: bool
    ) -> torch.Tensor:
        """Over all processes: losses and clips of coarse visits, of fine ones, and how many are to
        stop.
        """
        loss_B = torch.cat([*losses]).double()
        frames_B = torch.cat([one.batch.frames_B for one in batches]).to(loss_B.device)
        is_fine_B = torch.cat([one.shown.is_fine_B for one in batches])
        counted_B = frames_B > 0
        sums = [
            part
            for of_level_B in (counted_B & ~is_fine_B, counted_B & is_fine_B)
            for part in (loss_B[of_level_B].sum(), of_level_B.sum().to(loss_B))
        ]
        stops = torch.full_like(sums[0], float(stopping))
        return self.world.summed(torch.stack([*sums, stops]).float())

    def figures(self, launched: LaunchedStep) -> StepFigures:
        """What a step gave, as soon as the device is done with it."""
        *sums, stops, norm = launched.numbers.read()
        totals, counts = sums[::2], sums[1::2]
        samples = int(sum(counts))
        return StepFigures(
            loss=sum(totals) / max(1, samples),
            parts={
                level: total / count
                for level, total, count in zip(LEVELS, totals, counts, strict=True)
                if count
            },
            gradient_norm=norm,
            lr=launched.lr,
            samples=samples,
            unusable=self.recipe.data.batch - samples,
            stopping=stops > 0,
        )
