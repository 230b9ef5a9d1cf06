"""How fast a run goes, and how near to what the machine could do."""

import time
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

import torch

from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.conditions.rows import row_width
from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.run.parallel import World
from training.run.recipe import Precision, TrainRecipe

T = TypeVar("T")
_TEXT_TOKENS: Final = 64  # of a usual prompt of some sentences
# Dense peak of matrix products in bf16, in TFLOP/s, by the makers' data sheets; TF32 is half of it.
# A name contains its key.
PEAK_TFLOPS: Final = {
    "H200": 989,
    "H100": 989,
    "B200": 2250,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "A10G": 70,
    "4090": 165,
}


class Throughput(NamedTuple):
    """Between two lines of the log."""

    samples_per_s: float
    waiting_share: float  # of the time, for data
    tflops: float  # that the net's forward and backward passes need, a second
    mfu: float | None  # of all devices' peak; none where that is not known
    steps: int
    left: str


class Clock:
    """Counts samples, time, and time spent waiting."""

    def __init__(self, recipe: TrainRecipe, world: World, sample_flops: float) -> None:
        self._recipe, self._world, self._flops = recipe, world, sample_flops
        self._since, self._waited, self._samples, self._steps = time.perf_counter(), 0.0, 0, 0

    def waiting(self, batches: Iterator[T]) -> T:
        """The next of a loader's batches; the wait is counted."""
        before = time.perf_counter()
        batch = next(batches)
        self._waited += time.perf_counter() - before
        return batch

    def stepped(self, samples: int) -> None:
        """A step is done."""
        self._samples += samples
        self._steps += 1

    def lap(self, step: int) -> Throughput:
        """The pace since the last lap."""
        now = time.perf_counter()
        spent = now - self._since
        tflops = self._samples * self._flops / spent / 1e12
        peak = peak_tflops(self._world.device, self._recipe.run.precision)
        left_s = (self._recipe.run.steps - step) * spent / max(1, self._steps)
        made = Throughput(
            samples_per_s=self._samples / spent,
            waiting_share=self._waited / spent,
            tflops=tflops,
            mfu=tflops / (peak * self._world.ranks) if peak else None,
            steps=self._recipe.run.steps,
            left=f"{left_s / 3600:.1f} h left" if left_s > 5400 else f"{left_s / 60:.0f} min left",
        )
        self._since, self._waited, self._samples, self._steps = now, 0.0, 0, 0
        return made


def peak_tflops(device: torch.device, precision: Precision) -> float | None:
    """A GPU's peak for a precision; none for a CPU, or a GPU that is not in the table."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    peak = next((value for known, value in PEAK_TFLOPS.items() if known in name), None)
    if peak is None:
        return None
    return float(peak if precision is Precision.BF16 else peak / 2)


def flops_per_sample(recipe: TrainRecipe, channels: int, frames: int, bands: int) -> float:
    """Operations of a sample's forward and backward pass, counted on a model without weights.

    What is computed twice to save memory is not counted twice.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = LatentDiffusion(recipe.model, recipe.objective)
        text = Tokens(
            torch.zeros(1, _TEXT_TOKENS, recipe.model.text_width),
            torch.ones(1, _TEXT_TOKENS, dtype=torch.bool),
        )
        latent = torch.zeros(1, channels, frames, bands)
        times = torch.full((1,), 0.5)
        rows = torch.zeros(1, frames, row_width(recipe.model.rows)) if recipe.model.rows else None
    conditions = Conditions(text, batched_beats([None]), batched_chords([None]), rows_BTR=rows).to(
        "meta"
    )
    with FlopCounterMode(display=False) as counter:
        model.predict(latent, times, conditions).sum().backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops())
