"""One step of learning: what its batches do to a model, its optimizer and averaged weights.

Shapes: B samples of a micro-batch, C latent channels, T latent frames, F latent bands, N bands of
noise.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from pipelines.codecs import Codec
from training.adapters.freezing import learned, prepare
from training.data.loading import TrainingBatch
from training.diffusion.model import Conditions, JumpGoal, LatentDiffusion
from training.diffusion.text_encoder import TextCache
from training.distillation.config import TargetNet
from training.distillation.teacher import Teacher
from training.errors import BadData, TrainingError
from training.run.checkpoints import ADAPTER, EMA, MODEL, Checkpoint
from training.run.compiled import compile_parts, fixed_lengths
from training.run.ema import Ema
from training.run.model_weights import begin_with, fill, strange_weights
from training.run.parallel import (
    World,
    autocast,
    copy_into,
    full_tensor,
    grad_sync,
    like_parameter,
    local_tensor,
    wrapped,
)
from training.run.prefetch import ReadyBatch, moved
from training.run.recipe import Decay, OptimRecipe, TrainRecipe
from training.run.step_figures import (
    NOISE_BANDS,
    LateNumbers,
    StepFigures,
    read_figures,
    summed_figures,
)
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


class Trainer:
    """What is trained, in one process of however many.

    `begun` are the weights that a run begins with; all that is new in its net begins as nothing. A
    student has a teacher, who is whole in each process, and in no checkpoint.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        codec: Codec,
        states: TextCache,
        world: World,
        begun: Weights | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.recipe, self.codec, self.states, self.world = recipe, codec, states, world
        torch.manual_seed(recipe.run.seed)
        self.model = LatentDiffusion(
            recipe.model, recipe.objective, checkpointing=recipe.run.checkpointing
        ).to(world.device)
        if begun is not None:
            begin_with(self.model, begun)
        prepare(self.model, recipe.adapter, begun or ())
        if recipe.run.compile:
            compile_parts(self.model)
        self.net = wrapped(self.model, world, recipe.run.parallel, recipe.run.precision)
        self.learned = learned(self.model)  # sharing processes hold others in their places
        # what a checkpoint holds: all, but for what stays as it was loaded
        stays = set(begun or ()) - self.learned.keys() if recipe.adapter.is_used else set()
        self.kept = {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if name not in stays
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
        self.ema = Ema(self.model, rules.ema)
        self.teacher = teacher
        if teacher is not None:
            teacher.model.to(world.device)
            self.empty_text = states.encode([""]).to(world.device)
            if recipe.run.compile:
                compile_parts(teacher.model)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, frames and bands of a latent."""
        facts = self.codec.facts
        return (
            facts.channels,
            facts.frames(round(self.recipe.data.seconds * facts.rate_hz)),
            facts.bands,
        )

    def step(
        self, batches: Sequence[ReadyBatch], step: int, *, stopping: bool = False
    ) -> LaunchedStep:
        """Learn from the micro-batches of a step, without waiting for the device.

        Where a loss or the gradient is not a number no weight moves; `figures` says so, later.
        """
        losses = []
        for part, batch in enumerate(batches):
            last = part + 1 == len(batches)
            with grad_sync(self.net, last=last):
                loss_B = self.losses(batch)
                (loss_B.sum() / (len(loss_B) * len(batches))).backward()  # type: ignore[no-untyped-call]
            losses.append(loss_B.detach())
        norm = full_tensor(
            torch.nn.utils.clip_grad_norm_(self.learned.values(), self.recipe.optim.clip)
        )
        counted_B = torch.cat([batch.frames_B for batch in batches]) > 0
        times_B = torch.cat([batch.times_B for batch in batches])
        sums = summed_figures(
            self.world,
            torch.cat(losses).float(),
            counted_B,
            (times_B * NOISE_BANDS).long().clamp(max=NOISE_BANDS - 1),
            stopping,
        )
        numbers = torch.cat([sums, norm.detach().float().reshape(1)])
        lr = rate_at(self.recipe.optim, step, self.recipe.run.steps)
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

    def figures(self, launched: LaunchedStep) -> StepFigures:
        """What a step gave, as soon as the device is done with it."""
        return read_figures(launched.numbers.read(), lr=launched.lr, batch=self.recipe.data.batch)

    def ready(self, batch: TrainingBatch) -> ReadyBatch:
        """A micro-batch on the device, states of its text with it."""
        return ReadyBatch(
            batch,
            self.latents(batch),
            self.conditions(batch),
            *moved(
                (batch.noise_BCTF, batch.times_B, batch.frames_B, batch.draws_BD),
                self.world.device,
            ),
        )

    def losses(self, batch: ReadyBatch) -> torch.Tensor:
        """Loss of each sample of a batch: (B,)."""
        with self.precision():
            loss_B: torch.Tensor = self.net(
                batch.latents_BCTF,
                batch.conditions,
                batch.noise_BCTF,
                batch.times_B,
                batch.frames_B,
                self._goal(batch),
            )
        return loss_B

    def _goal(self, batch: ReadyBatch) -> JumpGoal | None:
        """Where a student's jumps should lead; none where nothing is distilled."""
        if self.teacher is None:
            return None
        by_average = self.teacher.rules.target is TargetNet.EMA
        with self.ema.playing() if by_average else nullcontext():
            return self.teacher.goal(
                self.model,
                self.model.objective.noised(batch.latents_BCTF, batch.noise_BCTF, batch.times_B),
                batch.conditions,
                self.empty_text,
                self.teacher.jumps(batch.times_B, batch.draws_BD),
                batch.frames_B,
            )

    def conditions(self, batch: TrainingBatch) -> Conditions:
        """The conditions of a batch, on the device."""
        text = self.states.encode(batch.prompts)
        conditions = batch.conditioning(text, with_seconds=self.recipe.model.seconds)
        conditions = moved(conditions, self.world.device)
        return fixed_lengths(conditions) if self.recipe.run.compile else conditions

    def latents(self, batch: TrainingBatch) -> torch.Tensor:
        """Latents of a batch on the device."""
        sounds = moved(batch.sounds, self.world.device)
        if sounds.dim() == 4:
            return sounds
        with torch.no_grad():
            return self.codec.encode(sounds)

    def precision(self) -> AbstractContextManager[Any]:
        """Around the net."""
        return autocast(self.world.device, self.recipe.run.precision)

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
        played = ADAPTER if self.recipe.adapter.is_used else EMA
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
