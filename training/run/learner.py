"""What learns by steps: weights, their optimizer and averages, and what a checkpoint keeps of them.

`Trainer` is a latent-diffusion model's; `training/codec` has an autoencoder's. `loop` walks either.

Shapes: B samples of a micro-batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import nn

from training.adapters.freezing import learned
from training.data.loading import TrainingBatch
from training.errors import BadData, TrainingError
from training.run.checkpoints import EMA, MODEL, Checkpoint
from training.run.ema import Ema
from training.run.model_weights import fill, strange_weights
from training.run.parallel import (
    World,
    autocast,
    copy_into,
    full_tensor,
    grad_sync,
    like_parameter,
    local_tensor,
)
from training.run.recipe import Decay, LearningRecipe, OptimRecipe
from training.run.step_figures import LateNumbers, StepFigures
from training.run.tensor_files import Weights

_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter

Keep = Callable[[str, torch.Tensor], torch.Tensor]  # a name, a tensor: what is kept of it


class TrainerState(NamedTuple):
    """Weights by file and name, moments by parameter."""

    weights: dict[str, Weights]
    moments: dict[str, dict[str, torch.Tensor]]


class LaunchedStep(NamedTuple):
    """A step that the device may still be at."""

    step: int
    numbers: LateNumbers
    batches: tuple[TrainingBatch, ...]
    losses: tuple[torch.Tensor, ...]  # (B,) of each micro-batch
    lr: float


class OnDevice(Protocol):
    """A micro-batch on the device."""

    @property
    def batch(self) -> TrainingBatch:
        """What it was made of."""


R = TypeVar("R", bound=OnDevice)


class Learner(ABC, Generic[R]):
    """What is trained, in one process of however many; R is a micro-batch on the device."""

    def __init__(
        self,
        recipe: LearningRecipe,
        world: World,
        model: nn.Module,
        net: nn.Module,
        *,
        stays: Collection[str] = (),
        played: str = EMA,
    ) -> None:
        """`net` is the model as processes share it; `stays` are parameters that no checkpoint
        holds; `played` is the file of the averaged weights.
        """
        self._rules, self.world, self.model, self.net = recipe, world, model, net
        self._played = played
        self.learned = learned(model)  # sharing processes hold others in their places
        self.kept = {
            name: parameter for name, parameter in model.named_parameters() if name not in stays
        }
        rules = recipe.optim
        # one kernel for all weights; on a CPU the bytes of a run are older than that
        self.is_fused = world.runs_behind
        self.optimizer = torch.optim.AdamW(
            self.learned.values(),
            lr=rules.lr,
            betas=(rules.beta1, rules.beta2),
            weight_decay=rules.weight_decay,
            fused=self.is_fused or None,
        )
        self.ema = Ema(model, rules.ema)

    @property
    def micro_batch(self) -> int:
        """Samples that this process takes at once."""
        return self._rules.data.micro_batch

    @abstractmethod
    def ready(self, batch: TrainingBatch) -> R:
        """A micro-batch on the device."""

    @abstractmethod
    def losses(self, batch: R) -> torch.Tensor:
        """Loss of each sample of a batch, as validation follows it: (B,)."""

    @abstractmethod
    def figures(self, launched: LaunchedStep) -> StepFigures:
        """What a step gave, as soon as the device is done with it."""

    @abstractmethod
    def _summed(
        self, batches: Sequence[R], losses: Sequence[torch.Tensor], *, stopping: bool
    ) -> torch.Tensor:
        """Figures of a step over all processes, on the device."""

    def _learned_losses(self, batch: R) -> torch.Tensor:
        """Loss of each sample that a step learns from: (B,)."""
        return self.losses(batch)

    def _clipped_norm(self) -> torch.Tensor:
        """The norm of the gradient, which is scaled down to what the recipe allows."""
        return torch.nn.utils.clip_grad_norm_(self.learned.values(), self._rules.optim.clip)

    def step(self, batches: Sequence[R], step: int, *, stopping: bool = False) -> LaunchedStep:
        """Learn from the micro-batches of a step, without waiting for the device.

        Where a loss or the gradient is not a number no weight moves; `figures` says so, later.
        """
        losses = []
        for part, batch in enumerate(batches):
            last = part + 1 == len(batches)
            with grad_sync(self.net, last=last):
                loss_B = self._learned_losses(batch)
                (loss_B.sum() / (len(loss_B) * len(batches))).backward()  # type: ignore[no-untyped-call]
            losses.append(loss_B.detach())
        norm = full_tensor(self._clipped_norm())
        sums = self._summed(batches, losses, stopping=stopping)
        numbers = torch.cat([sums, norm.detach().float().reshape(1)])
        lr = rate_at(self._rules.optim, step, self._rules.run.steps)
        self._move(numbers, lr)
        self.ema.update(step)
        sources = tuple(batch.batch for batch in batches)
        return LaunchedStep(step, LateNumbers(numbers), sources, tuple(losses), lr)

    def _move(self, numbers: torch.Tensor, lr: float) -> None:
        """Move the weights, if these are numbers. A GPU decides by itself, as it does for losses
        that are scaled: AdamW's kernel is told what was found, and does nothing then.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        is_bad = ~numbers.isfinite().all()
        if self.is_fused:
            self.optimizer.grad_scale, self.optimizer.found_inf = None, is_bad.float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not is_bad:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def precision(self) -> AbstractContextManager[Any]:
        """Around the net."""
        return autocast(self.world.device, self._rules.run.precision)

    def fault(self, launched: LaunchedStep, figures: StepFigures) -> str:
        """Whose loss or gradient of a step is not a number, in words.

        Raises `BadData` where weights are at fault: no other step would be better.
        """
        figured = f"loss {figures.loss}, gradient norm {figures.gradient_norm}"
        strange = self.world.gathered(strange_weights(self.model))
        if strange:
            raise BadData(
                f"the loss is not a number ({figured}), and the weights are at fault, "
                f"not the samples: {strange[0]}. No weight was moved. Go on from an earlier "
                "checkpoint, by removing the last one; if that one is sound, lower optim.lr"
            )
        parts = list(zip(launched.batches, launched.losses, strict=True))
        keys = self.world.gathered(
            [
                key
                for batch, loss_B in parts
                for key, loss in zip(batch.keys, loss_B.tolist(), strict=True)
                if not math.isfinite(loss)
            ]
        )
        everyone = self.world.gathered([key for batch, _ in parts for key in batch.keys])
        what = (
            f"the loss of {', '.join(keys)}" if keys else f"the gradient of {', '.join(everyone)}"
        )
        return f"{what} is not a number ({figured}); no weight was moved"

    @torch.no_grad()
    def gathered(self, keep: Keep) -> TrainerState:
        """All that training has made, whole, as the first process keeps it; in all others empty,
        but all must ask. Nobody else copies anything to the host.
        """
        played = self._played
        state = TrainerState({MODEL: {}, played: {}}, {})
        averages = dict(zip(self.learned, self.ema.averages, strict=True))
        for name, parameter in self.kept.items():
            moments = self._moments(parameter)
            average = averages.get(name, local_tensor(parameter.detach()))
            parts = {
                (MODEL, name): parameter.detach(),
                (played, name): like_parameter(average, parameter),
                **{(name, key): value for key, value in moments.items()},
            }
            for (folder, key), value in parts.items():
                whole = full_tensor(value)
                if self.world.is_first:
                    into = state.weights.get(folder)
                    into = state.moments.setdefault(name, {}) if into is None else into
                    into[key] = keep(f"{folder}/{key}", whole)
        return state

    def _moments(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        """What AdamW keeps of a parameter: zeros, where it has not moved yet; none, where it never
        does.
        """
        moments: dict[str, torch.Tensor] = self.optimizer.state.get(parameter, {})
        if moments or not parameter.requires_grad:
            return moments
        return {"step": torch.zeros(())} | {
            key: torch.zeros_like(parameter) for key in _MOMENTS[1:]
        }

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> None:
        """Weights, averages and moments of a checkpoint, of whose files this process reads what it
        holds itself.

        Raises `TrainingError` where they are another model's.
        """
        fill(self.kept, checkpoint.mapped_weights(checkpoint.played), checkpoint.name)
        self.ema.exchange()
        fill(self.kept, checkpoint.mapped_weights(MODEL), checkpoint.name)
        moments = checkpoint.optimizer()
        for name, parameter in self.learned.items():
            state, stored = self.optimizer.state[parameter], moments.get(name)
            if (
                not isinstance(stored, dict)
                or not stored.keys() >= set(_MOMENTS)
                or stored["exp_avg"].shape != parameter.shape
            ):
                raise TrainingError(
                    f"{checkpoint.name} has no moments of {name} that fit: it is of another model"
                )
            # where AdamW counts its steps: beside its weights only in one kernel
            device = self.world.device if self.is_fused else "cpu"
            state["step"] = stored["step"].to(device, copy=True)
            for key in _MOMENTS[1:]:
                state[key] = torch.zeros_like(parameter)
                copy_into(state[key], stored[key])


def rate_at(rules: OptimRecipe, step: int, steps: int) -> float:
    """The learning rate of a step, from 0.

    >>> rules = OptimRecipe(lr=1.0, warmup_steps=10, decay="linear")
    >>> [round(rate_at(rules, step, 110), 9) for step in (0, 9, 10, 60, 109)]
    [0.1, 1.0, 1.0, 0.5, 0.01]
    """
    if step < rules.warmup_steps:
        return rules.lr * (step + 1) / rules.warmup_steps
    done = (step - rules.warmup_steps) / max(1, steps - rules.warmup_steps)
    match rules.decay:
        case Decay.CONSTANT:
            return rules.lr
        case Decay.LINEAR:
            return rules.lr * (1 - done)
        case Decay.COSINE:
            return rules.lr * (1 + math.cos(math.pi * done)) / 2
