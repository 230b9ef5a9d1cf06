"""Checkpoints written while training goes on.

On a GPU a step stands still for as long as its weights and moments take to be copied, on the
device's own time, into memory of the host that is kept for that; a thread writes from there. On a
CPU there is no time but the host's, and nothing is copied: the step waits until all is written.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from pipelines.storage.store import Store
from training.run import checkpoints
from training.run.learner import Learner, OnDevice
from training.run.parallel import World
from training.run.recipe import StepsRecipe

R = TypeVar("R", bound=OnDevice)


class HostCopies:
    """Tensors as they are now, on the host, in memory that is used again by the next ones."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: dict[str, torch.Tensor] = {}

    def keep(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A copy; of a CPU's tensor itself, where nobody changes it before it is written."""
        if not self._world.runs_behind:
            return tensor
        if name not in self._kept:
            pinned = self._world.device.type == "cuda"
            self._kept[name] = torch.empty(
                tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=pinned
            )
        return self._kept[name].copy_(tensor, non_blocking=True)

    def copied(self) -> Callable[[], None]:
        """What waits until all copies that were asked for are there."""
        if self._world.device.type != "cuda":
            return lambda: None
        event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        wait: Callable[[], None] = event.synchronize
        return wait


class CheckpointWriter:
    """The first process's; one checkpoint at a time."""

    def __init__(self, store: Store, world: World, rules: StepsRecipe, damaged: set[str]) -> None:
        """`damaged` are folders of checkpoints that are known not to be whole."""
        self._store, self._world, self._rules, self._damaged = store, world, rules, damaged
        self._copies = HostCopies(world)
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def save(
        self,
        trainer: Learner[R],
        step: int,
        documents: Mapping[str, Any],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write what a trainer has made; all processes must ask. Raises what the last writing has
        met, if it was not told before.
        """
        self.settle()  # else its memory would be overwritten
        state = trainer.gathered(self._copies.keep)
        if not self._world.is_first:
            return
        copied = self._copies.copied()

        def write() -> None:
            copied()
            made = checkpoints.write(
                self._store,
                step,
                weights=state.weights,
                metadata=metadata,
                optimizer=state.moments,
                documents=documents,
            )
            self._damaged.discard(made.folder)
            checkpoints.drop_moments(self._store, self._rules.keep_moments, self._damaged)
            checkpoints.drop_old(self._store, self._rules.keep, self._damaged)

        if self._world.runs_behind:
            self._writing = self._thread.submit(write)
        else:
            write()

    def look(self) -> None:
        """Raise what the writing in hand has met, if it is over."""
        if self._writing is not None and self._writing.done():
            self.settle()

    def settle(self) -> None:
        """Wait until all is written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """The same, and the end."""
        try:
            self.settle()
        finally:
            self._thread.shutdown()


@contextmanager
def checkpoint_writer(
    store: Store, world: World, rules: StepsRecipe, damaged: set[str]
) -> Iterator[CheckpointWriter]:
    """A writer for as long as the block lasts, and until it is done."""
    writer = CheckpointWriter(store, world, rules, damaged)
    try:
        yield writer
    finally:
        writer.close()
