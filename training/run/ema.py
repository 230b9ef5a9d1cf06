"""The averaged weights, which play better than the latest ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from training.run.parallel import local_tensor


class Ema:
    """An exponential moving average of what of a model learns, or of this process's share of it."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        # the same memory: they follow training
        self._own = [
            local_tensor(parameter.detach())
            for parameter in model.parameters()
            if parameter.requires_grad
        ]
        self.averages = [value.clone() for value in self._own]
        self._plays = False

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After a step from 0.

        In early steps the decay is (1 + step) / (10 + step), so that the first weights are soon
        forgotten.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self._own, 1 - decay)

    @contextmanager
    def playing(self) -> Iterator[None]:
        """The model with its averaged weights, for as long as the block lasts, or one around it."""
        if self._plays:
            yield
            return
        self.exchange()
        self._plays = True
        try:
            yield
        finally:
            self._plays = False
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Averages and weights change places."""
        for value, average in zip(self._own, self.averages, strict=True):
            before = value.clone()
            value.copy_(average)
            average.copy_(before)
