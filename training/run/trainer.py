"""One step of learning: what its batches do to a model, its optimizer and averaged weights.

Shapes: B samples of a micro-batch, C latent channels, T latent frames, F latent bands, N bands of
noise.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from pipelines.codecs import Codec
from training.adapters.freezing import learned, prepare
from training.data.loading import TrainingBatch
from training.diffusion.model import Conditions, LatentDiffusion
from training.diffusion.text_encoder import TextCache
from training.errors import BadData, TrainingError
from training.run.checkpoints import ADAPTER, EMA, MODEL, Checkpoint, Weights
from training.run.ema import Ema
from training.run.parallel import (
    World,
    autocast,
    copy_into,
    full_tensor,
    grad_sync,
    local_tensor,
    wrapped,
)
from training.run.recipe import Decay, OptimRecipe, TrainRecipe

_GRAPHS: Final = 128
_LARGEST_WEIGHT: Final = 1e6  # of trained weights the largest are about 10
# of the way from latent to noise, each followed by itself: an average hides what is learned where
NOISE_BANDS: Final = 4
_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter


class StepFigures(NamedTuple):
    """What a step gave, over all processes."""

    loss: float
    band_losses: tuple[float | None, ...]  # by noise, the least first; none where no sample fell
    gradient_norm: float
    lr: float
    samples: int
    unusable: int


class Trainer:
    """What is trained, in one process of however many.

    `begun` are the weights that a run begins with; all that is new in its net begins as nothing.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        codec: Codec,
        states: TextCache,
        world: World,
        begun: Weights | None = None,
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
            # Under FSDP each `Layer` is a graph by itself, and all share one code object: by
            # default only 8 of them would be compiled.
            torch._dynamo.config.recompile_limit = max(
                torch._dynamo.config.recompile_limit, _GRAPHS
            )
            self.model.get_submodule(self.model.kind).compile()
        self.net = wrapped(self.model, world, recipe.run.parallel)
        self.learned = learned(self.model)  # sharing processes hold others in their places
        # what a checkpoint holds: where nothing is frozen, all, tables that never learn among it
        self.kept = self.learned if recipe.adapter.is_used else dict(self.model.named_parameters())
        rules = recipe.optim
        self.optimizer = torch.optim.AdamW(
            self.learned.values(),
            lr=rules.lr,
            betas=(rules.beta1, rules.beta2),
            weight_decay=rules.weight_decay,
        )
        self.ema = Ema(self.model, rules.ema)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, frames and bands of a latent."""
        facts = self.codec.facts
        return (
            facts.channels,
            facts.frames(round(self.recipe.data.seconds * facts.rate_hz)),
            facts.bands,
        )

    def step(self, batches: Sequence[TrainingBatch], step: int) -> StepFigures:
        """Learn from the micro-batches of a step.

        Raises `BadData` where a loss or the gradient is not a number; no weight has moved then.
        """
        losses = []
        for part, batch in enumerate(batches):
            last = part + 1 == len(batches)
            with grad_sync(self.net, last=last):
                loss_B = self.losses(batch)
                (loss_B.sum() / (len(loss_B) * len(batches))).backward()  # type: ignore[no-untyped-call]
            losses.append(loss_B.detach())
        norm = float(
            full_tensor(
                torch.nn.utils.clip_grad_norm_(self.learned.values(), self.recipe.optim.clip)
            )
        )
        figures = self._figures(batches, torch.cat(losses).float(), norm, step)
        self._check(figures, batches, losses)
        for group in self.optimizer.param_groups:
            group["lr"] = figures.lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(step)
        return figures

    def losses(self, batch: TrainingBatch) -> torch.Tensor:
        """Loss of each sample of a batch: (B,)."""
        device = self.world.device
        latents_BCTF = self.latents(batch)
        conditions = self.conditions(batch)
        with self.precision():
            loss_B: torch.Tensor = self.net(
                latents_BCTF,
                conditions,
                batch.noise_BCTF.to(device),
                batch.times_B.to(device),
                batch.frames_B.to(device),
            )
        return loss_B

    def conditions(self, batch: TrainingBatch) -> Conditions:
        """The conditions of a batch, on the device."""
        return batch.conditioning(
            self.states.encode(batch.prompts), with_seconds=self.recipe.model.seconds
        ).to(self.world.device)

    def latents(self, batch: TrainingBatch) -> torch.Tensor:
        """Latents of a batch on the device."""
        sounds = batch.sounds.to(self.world.device, non_blocking=True)
        if sounds.dim() == 4:
            return sounds
        with torch.no_grad():
            return self.codec.encode(sounds)

    def precision(self) -> AbstractContextManager[Any]:
        """Around the net."""
        return autocast(self.world.device, self.recipe.run.precision)

    def _figures(
        self, batches: Sequence[TrainingBatch], loss_B: torch.Tensor, norm: float, step: int
    ) -> StepFigures:
        times_B = torch.cat([batch.times_B for batch in batches]).to(loss_B.device)
        counted_B = (torch.cat([batch.frames_B for batch in batches]) > 0).to(loss_B.device)
        band_B = (times_B * NOISE_BANDS).long()
        sums_2N = torch.zeros(2, NOISE_BANDS, dtype=torch.float64)
        sums_2N[0].index_add_(0, band_B.cpu(), loss_B.double().cpu())
        sums_2N[1].index_add_(0, band_B.cpu(), counted_B.double().cpu())
        sums, counts = self.world.summed(sums_2N.to(loss_B.device, torch.float32)).tolist()
        samples = int(sum(counts))
        return StepFigures(
            loss=sum(sums) / max(1, samples),
            band_losses=tuple(
                total / count if count else None for total, count in zip(sums, counts, strict=True)
            ),
            gradient_norm=norm,
            lr=rate_at(self.recipe.optim, step, self.recipe.run.steps),
            samples=samples,
            unusable=self.recipe.data.batch - samples,
        )

    def _check(
        self, figures: StepFigures, batches: Sequence[TrainingBatch], losses: Sequence[torch.Tensor]
    ) -> None:
        if math.isfinite(figures.loss) and math.isfinite(figures.gradient_norm):
            return
        figured = f"loss {figures.loss}, gradient norm {figures.gradient_norm}"
        strange = self.world.gathered(_strange_weights(self.model))
        if strange:
            raise BadData(
                f"the loss is not a number ({figured}), and the weights are at fault, "
                f"not the samples: {strange[0]}. No weight was moved. Go on from an earlier "
                "checkpoint, by removing the last one; if that one is sound, lower optim.lr"
            )
        keys = self.world.gathered(
            [
                key
                for batch, loss_B in zip(batches, losses, strict=True)
                for key, loss in zip(batch.keys, loss_B.tolist(), strict=True)
                if not math.isfinite(loss)
            ]
        )
        everyone = self.world.gathered([key for batch in batches for key in batch.keys])
        what = (
            f"the loss of {', '.join(keys)}" if keys else f"the gradient of {', '.join(everyone)}"
        )
        raise BadData(
            f"{what} is not a number ({figured}); no weight was moved. "
            "Look at these samples; if they are sound, lower optim.lr, "
            "or raise optim.warmup_steps, and go on from the last checkpoint"
        )

    def gathered(self) -> tuple[dict[str, Weights], dict[str, Any]]:
        """Weights by file, and moments by parameter, whole and on the CPU; in all but the first
        process empty, but all must ask.
        """
        weights = {MODEL: self._weights()}
        with self.ema.playing():
            weights[ADAPTER if self.recipe.adapter.is_used else EMA] = self._weights()
        moments: dict[str, Any] = {}
        for name, parameter in self.learned.items():
            moments_of_one = {
                key: full_tensor(value).cpu()
                for key, value in self.optimizer.state[parameter].items()
            }
            if self.world.is_first:
                moments[name] = moments_of_one
        return weights, moments

    def _weights(self) -> Weights:
        weights = {}
        for name, parameter in self.kept.items():
            value = full_tensor(parameter.detach())
            if self.world.is_first:
                weights[name] = value.cpu().clone()
        return weights

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> None:
        """Weights, averages and moments of a checkpoint.

        Raises `TrainingError` where they are another model's.
        """
        fill(self.kept, checkpoint.weights(checkpoint.played), checkpoint.name)
        self.ema.exchange()
        fill(self.kept, checkpoint.weights(MODEL), checkpoint.name)
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
            for key in _MOMENTS:
                value = stored[key]
                state[key] = value.clone() if key == "step" else torch.zeros_like(parameter)
                copy_into(state[key], value)


def fill_weights(model: LatentDiffusion, weights: Weights, name: str) -> None:
    """Put weights into a model.

    Raises `TrainingError` where their names or shapes are not its own.
    """
    fill(dict(model.named_parameters()), weights, name)


@torch.no_grad()
def fill(parameters: Mapping[str, nn.Parameter], weights: Weights, name: str) -> None:
    """Put weights into parameters.

    Raises `TrainingError` where names or shapes differ.
    """
    _check_shapes(parameters, weights, name)
    for key, parameter in parameters.items():
        copy_into(parameter, weights[key])


@torch.no_grad()
def begin_with(model: LatentDiffusion, weights: Weights) -> None:
    """Put another model's weights into one that has all of its parts, and maybe more.

    Raises `TrainingError` where it has not.
    """
    own = dict(model.named_parameters())
    there = {name: own[name] for name in weights if name in own}
    fill(there, weights, "what run.start_from names")
    net = model.get_submodule(model.kind)
    copy = getattr(net, "row_copy", None)
    if copy is not None and not any(".row_copy." in name for name in weights):
        copy.begin_as(net)


def check_shapes(model: nn.Module, weights: Weights, name: str) -> None:
    """Raise `TrainingError` where weights are not a model's own by name and shape; a model on the
    meta device will do.
    """
    _check_shapes(dict(model.named_parameters()), weights, name)


def _check_shapes(parameters: Mapping[str, nn.Parameter], weights: Weights, name: str) -> None:
    strange = sorted(parameters.keys() ^ weights.keys()) or [
        key for key, value in weights.items() if value.shape != parameters[key].shape
    ]
    if strange:
        raise TrainingError(
            f"{name} is of another model: {len(strange)} "
            f"weights do not fit, the first is {strange[0]}"
        )


def _strange_weights(model: nn.Module) -> list[str]:
    """The first of a process's weights that no training leads to, in words, if there is one."""
    for name, parameter in model.named_parameters():
        largest = (
            float(local_tensor(parameter.detach()).abs().amax())
            if local_tensor(parameter).numel()
            else 0.0
        )
        if not largest <= _LARGEST_WEIGHT:  # nor is NaN
            return [f"{name} holds {largest:.3g}"]
    return []


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
