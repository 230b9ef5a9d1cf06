"""How fast a run goes, and how near to what the machine could do."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

import torch

from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.conditions.rows import row_width
from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.run.parallel import World
from training.run.recipe import Precision, StepsRecipe, TrainRecipe

T = TypeVar("T")
_TEXT_TOKENS: Final = 64  # of a usual prompt of some sentences
# Dense peak of matrix products in bf16, in TFLOP/s, by the makers' data sheets; TF32 is half of it.
# A name contains the words of its key; of several the longest.
PEAK_TFLOPS: Final = {
    "H200": 989,
    "H100": 989,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "B200": 2250,
    "A100": 312,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "A10G": 70,
    "4090": 165,
}


class Throughput(NamedTuple):
    """Between two lines of the log."""

    samples_per_s: float
    waiting_share: float  # of the time, for data
    # TFLOP/s that the net's forward and backward passes need, and as a share of all devices' peak;
    # none where that is not known
    tflops: float | None
    mfu: float | None
    steps: int
    left: str


class Clock:
    """Counts samples, time, and time spent waiting."""

    def __init__(
        self, rules: StepsRecipe, world: World, flops: Callable[[], float] | None = None
    ) -> None:
        """`flops` counts a sample's operations, which takes a second, and is asked where the
        device's peak is known.
        """
        self._rules, self._world = rules, world
        self._peak = peak_tflops(world.device, rules.precision) if flops else None
        self._flops = flops() if flops and self._peak else 0.0
        self._is_warm = False
        self._begin()

    def _begin(self) -> None:
        self._since, self._waited, self._samples, self._steps = time.perf_counter(), 0.0, 0, 0

    def counted(self, batches: Iterator[T]) -> Iterator[T]:
        """A loader's batches; the wait for each is counted."""
        before = time.perf_counter()
        for batch in batches:
            self._waited += time.perf_counter() - before
            yield batch
            before = time.perf_counter()

    def stepped(self, samples: int) -> None:
        """A step is done. The first of all, which compiles the net, is no measure of the others:
        it is left out where others follow before a line is told.
        """
        self._samples += samples
        self._steps += 1
        if not self._is_warm and self._rules.log_every > 1:
            self._begin()
        self._is_warm = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Around what is not training: validation, playing, checkpoints."""
        before = time.perf_counter()
        yield
        self._since += time.perf_counter() - before

    def lap(self, step: int) -> Throughput:
        """The pace since the last lap."""
        now = time.perf_counter()
        spent = now - self._since
        tflops = self._samples * self._flops / spent / 1e12 if self._peak else None
        left_s = (self._rules.steps - step) * spent / max(1, self._steps)
        made = Throughput(
            samples_per_s=self._samples / spent,
            waiting_share=self._waited / spent,
            tflops=tflops,
            mfu=tflops / (self._peak * self._world.ranks) if tflops and self._peak else None,
            steps=self._rules.steps,
            left=f"{left_s / 3600:.1f} h left" if left_s > 5400 else f"{left_s / 60:.0f} min left",
        )
        self._begin()
        return made


def peak_tflops(device: torch.device, precision: Precision) -> float | None:
    """A GPU's peak for a precision; none for a CPU, or a GPU that is not in the table."""
    if device.type != "cuda":
        return None
    peak = bf16_peak_tflops(torch.cuda.get_device_name(device))
    return peak if peak is None or precision is Precision.BF16 else peak / 2


def bf16_peak_tflops(name: str) -> float | None:
    """The dense peak in bf16 of a GPU by its name; none where it is not in the table.

    >>> [bf16_peak_tflops(f"NVIDIA {name}") for name in ("H100 PCIe", "H100 80GB HBM3", "L40")]
    [756.0, 989.0, 181.0]
    """
    found = [known for known in PEAK_TFLOPS if re.search(rf"\b{known}\b", name)]
    return float(PEAK_TFLOPS[max(found, key=len)]) if found else None


class StandIn(NamedTuple):
    """A model with a batch of nothing, to be counted or timed."""

    model: LatentDiffusion
    latents_BCTF: torch.Tensor
    times_B: torch.Tensor
    conditions: Conditions

    def predicted(self) -> torch.Tensor:
        """What the net makes of it."""
        return self.model.predict(self.latents_BCTF, self.times_B, self.conditions)


def stand_in(
    recipe: TrainRecipe,
    shape: tuple[int, int, int],
    device: torch.device | str,
    batch: int = 1,
    tokens: int = _TEXT_TOKENS,
) -> StandIn:
    """A recipe's model on a device, with latents of a shape (channels, frames, bands)."""
    width = row_width(recipe.model.rows) if recipe.model.rows else 0
    with torch.device(device):
        model = LatentDiffusion(recipe.model, recipe.objective)
        states_BLD = torch.zeros(batch, tokens, recipe.model.text_width)
        text = Tokens(states_BLD, torch.ones(batch, tokens, dtype=torch.bool))
        latents_BCTF = torch.zeros(batch, *shape)
        times_B = torch.full((batch,), 0.5)
        rows_BTR = torch.zeros(batch, shape[1], width) if width else None
        seconds_B2 = torch.zeros(batch, 2) if recipe.model.seconds else None
    nothing = [None] * batch
    conditions = Conditions(
        text, batched_beats(nothing), batched_chords(nothing), seconds_B2, rows_BTR
    )
    return StandIn(model, latents_BCTF, times_B, conditions.to(device))


def flops_per_sample(recipe: TrainRecipe, channels: int, frames: int, bands: int) -> float:
    """Operations of a sample's forward and backward pass, counted on a model without weights.

    What is computed twice to save memory is not counted twice.
    """
    from torch.utils.flop_counter import FlopCounterMode

    counted = stand_in(recipe, (channels, frames, bands), "meta")
    with FlopCounterMode(display=False) as counter:
        counted.predicted().sum().backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops())
