"""Where a training step makes the host wait for a GPU, counted without one.

    python -m tests.benchmarks.gpu.host_syncs

A step runs with ``meta`` in the GPU's place: tensors there have a shape, but no numbers. A mode
beneath it sees each copy and each number that is asked for. A copy to the device makes the host
wait unless it is asked not to; so does a copy from it, and each number of it; and figures that are
read of the step before.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.benchmarks.gpu.batches import drawn, flan_shaped
from training.diffusion.text_encoder import TextCache
from training.run.learner import LaunchedStep
from training.run.parallel import World
from training.run.presets import ready_recipe
from training.run.recipe import Precision, TrainRecipe
from training.run.trainer import Trainer

DEVICE = torch.device("meta")
_TO, _INTO = torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default
_NUMBER = torch.ops.aten._local_scalar_dense.default


class HostWaits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what makes a host wait: ``to device``, ``from device``, ``number``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Each operation on its way to the device."""
        given = dict(kwargs or {})
        if func is _NUMBER and args[0].device == DEVICE:
            self.counted["number"] += 1
            return 0.5 if args[0].is_floating_point() else 0
        if func in (_TO, _INTO):
            return self._copied(func, args, given)
        return func(*args, **given)

    def _copied(self, func: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        source = args[0] if func is _TO else args[1]
        goal = given.get("device") or source.device if func is _TO else args[0].device
        waits = not given.get("non_blocking", args[2:3] == (True,))
        if (source.device.type, goal.type) == ("meta", "cpu"):  # torch itself refuses that
            self.counted["from device"] += waits
            numbers = torch.zeros(source.shape, dtype=given.get("dtype") or source.dtype)
            return numbers if func is _TO else args[0]
        if (source.device.type, goal.type) == ("cpu", "meta"):
            self.counted["to device"] += waits
        return func(*args, **given)


def small_recipe() -> TrainRecipe:
    """A recipe of two micro-batches and a narrow net of base's kind."""
    made = ready_recipe("base")
    model = made.model.replaced(widths=(64, 64), attended=(False, True), text_width=64)
    data = made.data.replaced(batch=4, micro_batch=2, seconds=2.0)
    run = made.run.replaced(precision=Precision.FP32, compile=False)
    return made.replaced(model=model, data=data, run=run)


@contextmanager
def _allowed_on_meta() -> Iterator[None]:
    """What torch refuses there: autocast, and AdamW in one kernel."""
    kernels = "torch.optim.optimizer._get_fused_kernels_supported_devices"
    with (
        mock.patch("torch.autocast", return_value=nullcontext()),
        mock.patch(kernels, return_value=["meta"]),
        mock.patch("torch._fused_adamw_"),
    ):
        yield


def counted_waits(steps: int = 3) -> Counter[str]:
    """What makes the host wait in the last of some steps of two micro-batches."""
    recipe = small_recipe()
    source = drawn(recipe, pinned=False)
    states = TextCache(flan_shaped(recipe.model.text_width, DEVICE, narrow=True), 0)
    trainer, batches = Trainer(recipe, source.codec, states, World(0, 1, DEVICE)), source.batches()
    before: list[LaunchedStep] = []
    for step in range(steps):
        with _allowed_on_meta(), HostWaits() as waits:
            ready = [trainer.ready(next(batches)) for _ in range(2)]
            before.append(trainer.step(ready, step))
            for late in before[:-1]:
                trainer.figures(late)
                waits.counted["step before"] += 1  # by its event, which nothing here shows
            del before[:-1]
    counted: Counter[str] = +waits.counted
    return counted


def main() -> None:
    """Print the counts."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    for what, count in counted_waits().most_common():
        print(f"{what:12} {count}")


if __name__ == "__main__":
    main()
