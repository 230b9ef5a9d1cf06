"""What a step gave: sums on the device, read once all are there, a step late where that saves a
wait.

Shapes: B samples of a step, N bands of noise.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch

from training.errors import BadData
from training.run.parallel import World

# of the way from latent to noise, each followed by itself: an average hides what is learned where
NOISE_BANDS: Final = 4


class StepFigures(NamedTuple):
    """What a step gave, over all processes."""

    loss: float
    parts: Mapping[str, float]  # of the loss, such as by noise; none for noise where no sample fell
    gradient_norm: float
    lr: float
    samples: int
    unusable: int
    stopping: bool = False  # some process has been sent a stop signal

    @property
    def is_sound(self) -> bool:
        """Whether loss and gradient are numbers; where not, the step moved no weight."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class LateNumbers:
    """Numbers on their way from the device to the host."""

    def __init__(self, numbers: torch.Tensor) -> None:
        self._host = numbers.to("cpu", non_blocking=True)
        self._there: Any = None
        if numbers.device.type == "cuda":
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record()

    def read(self) -> list[float]:
        """The numbers, as soon as they are there."""
        if self._there is not None:
            self._there.synchronize()
        values: list[float] = self._host.tolist()
        return values


def summed_figures(
    world: World, loss_B: torch.Tensor, counted_B: torch.Tensor, band_B: torch.Tensor, stop: bool
) -> torch.Tensor:
    """Over all processes, on the device: sums of losses by band (N), of samples by band (N), and
    how many processes are to stop.
    """
    sums_2N = torch.zeros(2, NOISE_BANDS, dtype=torch.float64, device=loss_B.device)
    sums_2N[0].index_add_(0, band_B, loss_B.double())
    sums_2N[1].index_add_(0, band_B, counted_B.double())
    stops = torch.full((1,), float(stop), device=loss_B.device)
    return world.summed(torch.cat([sums_2N.flatten().float(), stops]))


def read_figures(numbers: list[float], *, lr: float, batch: int) -> StepFigures:
    """Figures from what `summed_figures` gave, with the gradient's norm behind it."""
    sums, counts = numbers[:NOISE_BANDS], numbers[NOISE_BANDS : 2 * NOISE_BANDS]
    stops, norm = numbers[2 * NOISE_BANDS :]
    samples = int(sum(counts))
    return StepFigures(
        loss=sum(sums) / max(1, samples),
        parts={
            f"noise_{band}": total / count
            for band, (total, count) in enumerate(zip(sums, counts, strict=True), start=1)
            if count
        },
        gradient_norm=norm,
        lr=lr,
        samples=samples,
        unusable=batch - samples,
        stopping=stops > 0,
    )


class LostSteps:
    """How many steps were left out, of how many that may be."""

    def __init__(self, limit: int, count: int) -> None:
        self._limit, self.count = limit, count

    def add(self, step: int, fault: str) -> str:
        """The line of a report for one more.

        Raises `BadData` where there are more than may be.
        """
        if self.count >= self._limit:
            left_out = f"; steps left out before: {self.count}" if self.count else ""
            raise BadData(
                f"{fault}{left_out}. Look at these samples; if they are sound, lower optim.lr, or "
                "raise optim.warmup_steps, and go on from the last checkpoint. data.without "
                "leaves samples out by their keys, run.skipped_losses so many steps"
            )
        self.count += 1
        return f"step {step} is left out, {self.count} of at most {self._limit}: {fault}"
