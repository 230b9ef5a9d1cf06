"""Batches on the device before they are needed, so that neither it nor this process waits.

On a GPU each micro-batch goes over on a stream of its own, states of its text with it, while the
one before is still learned from: copies do not wait, and the step waits for them on the device
alone. On a CPU there is nothing to copy.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch

from training.data.loading import TrainingBatch
from training.diffusion.model import Conditions

T = TypeVar("T")


class ReadyBatch(NamedTuple):
    """A micro-batch on the device, and what it was made of."""

    batch: TrainingBatch
    latents_BCTF: torch.Tensor
    conditions: Conditions
    noise_BCTF: torch.Tensor
    times_B: torch.Tensor
    frames_B: torch.Tensor
    draws_BD: torch.Tensor

    @property
    def keys(self) -> tuple[str, ...]:
        """Its samples."""
        return self.batch.keys


def moved(value: T, device: torch.device) -> T:
    """Tensors, alone or in tuples of tuples, on a device; nobody waits until they are there.

    >>> moved((torch.ones(2), "kept", (torch.zeros(1),)), torch.device("meta"))[0].device.type
    'meta'
    """
    if isinstance(value, torch.Tensor):
        return cast(T, value.to(device, non_blocking=True))
    if not isinstance(value, tuple):
        return value
    parts = [moved(part, device) for part in value]
    is_named = hasattr(value, "_fields")
    return cast(T, type(value)(*parts) if is_named else tuple(parts))


class Prefetcher(Generic[T]):
    """Makes batches ready beside the step in hand."""

    def __init__(self, ready: Callable[[TrainingBatch], T], device: torch.device) -> None:
        self._ready, self._device = ready, device
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def of(self, batches: Iterator[TrainingBatch]) -> Iterator[T]:
        """Batches of a loader, ready."""
        for batch in batches:
            yield self._beside(batch)

    def _beside(self, batch: TrainingBatch) -> T:
        if self._stream is None:
            return self._ready(batch)
        with torch.cuda.stream(self._stream):
            made = self._ready(batch)
        step = torch.cuda.current_stream(self._device)
        step.wait_stream(self._stream)
        for tensor in _tensors(
            made
        ):  # their memory is not to be given away before the step is done
            tensor.record_stream(step)
        return made


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor) and value.device.type == "cuda":
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)
