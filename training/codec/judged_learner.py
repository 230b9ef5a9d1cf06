"""A net that plays waves, and the critic beside it, as the loop trains them.

Shapes: B clips of a micro-batch, P parts of the loss.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import torch

from training.codec.judged_lesson import Graded, JudgedLesson
from training.codec.judged_recipe import JudgedRecipe
from training.excerpts.learner import ClipLearner, ClipsOnDevice
from training.run.learner import LaunchedStep
from training.run.parallel import World, wrapped
from training.run.recipe import Parallel

R = TypeVar("R", bound=ClipsOnDevice)


class JudgedLearner(ClipLearner[R]):
    """Net, critic, and one optimizer for both; from `loss.judged_from` on the critic learns and
    judges in each step.
    """

    recipe: JudgedRecipe
    model: JudgedLesson

    def __init__(self, recipe: JudgedRecipe, world: World, model: JudgedLesson) -> None:
        self.recipe = recipe
        net = wrapped(model, world, Parallel.DDP, recipe.run.precision)
        super().__init__(recipe, world, model, net)
        self._is_judged = False
        self._parts: list[torch.Tensor] = []  # (B, P) of the micro-batches of a step

    @abstractmethod
    def _graded(self, batch: R, *, is_judged: bool, is_learned: bool) -> Graded:
        """What the model says of a batch; where it is not learned, nothing is made harder."""

    def losses(self, batch: R) -> torch.Tensor:
        """Loss of each clip, (B,), without the critic's judgement: comparable in both phases."""
        return self._counted(batch, is_judged=False, is_learned=False).total_B

    def step(self, batches: Sequence[R], step: int, *, stopping: bool = False) -> LaunchedStep:
        """Learn from the micro-batches of a step."""
        self._is_judged, self._parts = step >= self.recipe.loss.judged_from, []
        return super().step(batches, step, stopping=stopping)

    def _learned_losses(self, batch: R) -> torch.Tensor:
        graded = self._counted(batch, is_judged=self._is_judged, is_learned=True)
        self._parts.append(graded.parts_BP)
        return graded.total_B

    def _counted(self, batch: R, *, is_judged: bool, is_learned: bool) -> Graded:
        with self.precision():
            graded = self._graded(batch, is_judged=is_judged, is_learned=is_learned)
        counted_B = (batch.frames_B > 0).float()
        return Graded(graded.total_B * counted_B, graded.parts_BP * counted_B[:, None])

    def _clipped_norm(self) -> torch.Tensor:
        """The net's norm; the critic's gradient is scaled down by itself, and is none while it does
        not judge.
        """
        limit, critic = self.recipe.optim.clip, list(self.model.critic.parameters())
        if self._is_judged:
            torch.nn.utils.clip_grad_norm_(critic, limit)
        else:
            for parameter in critic:
                parameter.grad = None
        return torch.nn.utils.clip_grad_norm_(self.model.net.parameters(), limit)

    @property
    def _part_names(self) -> tuple[str, ...]:
        return self.model.PARTS

    def _part_sums(self) -> Sequence[torch.Tensor]:
        return torch.cat(self._parts).sum(0).unbind()
