"""What learns from excerpts: the figures of a step are means over the clips that count.

Shapes: B clips of a micro-batch, P parts of the loss.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch

from training.run.learner import LaunchedStep, Learner, OnDevice
from training.run.step_figures import StepFigures


class ClipsOnDevice(OnDevice, Protocol):
    """A micro-batch of clips on the device."""

    @property
    def frames_B(self) -> torch.Tensor:  # noqa: N802  as fields are named
        """Frames that each has of its own; none where it does not count."""


R = TypeVar("R", bound=ClipsOnDevice)


class ClipLearner(Learner[R]):
    """A learner whose loss is a sum over clips, of parts that the log names, if it has any."""

    @property
    def _part_names(self) -> tuple[str, ...]:
        """Parts of the loss."""
        return ()

    def _part_sums(self) -> Sequence[torch.Tensor]:
        """Of each part, over the clips of a step in this process."""
        return ()

    def _summed(
        self, batches: Sequence[R], losses: Sequence[torch.Tensor], *, stopping: bool
    ) -> torch.Tensor:
        """Over all processes: the loss, its parts, how many clips, and how many are to stop."""
        loss = torch.cat([*losses]).sum()
        counted = torch.cat([batch.frames_B for batch in batches]).gt(0).sum()
        stops = torch.full_like(loss, float(stopping))
        return self.world.summed(
            torch.stack([loss, *self._part_sums(), counted.to(loss), stops]).detach().float()
        )

    def figures(self, launched: LaunchedStep) -> StepFigures:
        """What a step gave, as soon as the device is done with it."""
        loss, *parts, counted, stops, norm = launched.numbers.read()
        samples = int(counted)
        return StepFigures(
            loss=loss / max(1, samples),
            parts={
                name: value / max(1, samples)
                for name, value in zip(self._part_names, parts, strict=True)
            },
            gradient_norm=norm,
            lr=launched.lr,
            samples=samples,
            unusable=self._rules.data.batch - samples,
            stopping=stops > 0,
        )
