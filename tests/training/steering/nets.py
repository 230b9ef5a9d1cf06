"""Nets of a few weights that stand for a model, and how much memory a call holds."""

import math
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from training.objectives.diffusion import Diffusion, DiffusionConfig
from training.objectives.flow import Flow, FlowConfig
from training.objectives.path import Objective
from training.samplers.denoise import Predict

DIFFUSION, FLOW = Diffusion(DiffusionConfig()), Flow(FlowConfig())


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=dtype)


def ideal(objective: Objective, spread: float = 0.5) -> Predict:
    """The best predictor of Gaussian latents around 0: what is asked of it can be reached, since
    each latent has its noise.
    """

    def predict(x: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        point = objective.point(float(times_B[0]))
        power = (point.alpha * spread) ** 2 + point.sigma**2
        clean = x * point.alpha * spread**2 / power
        return objective.prediction(clean, x, times_B)

    return predict


def mixing(channels: int, width: int, dtype: torch.dtype = torch.float64) -> Predict:
    """A net of two convolutions over time that is told the time."""
    into = drawn(width, channels, 3, 1, seed=1, dtype=dtype) / math.sqrt(3 * channels)
    back = drawn(channels, width, 3, 1, seed=2, dtype=dtype) / math.sqrt(3 * width)

    def predict(x: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        hidden = torch.nn.functional.conv2d(x, into, padding=(1, 0))
        hidden = torch.tanh(hidden + times_B.to(x)[:, None, None, None])
        return torch.nn.functional.conv2d(hidden, back, padding=(1, 0))

    return predict


def wide(x: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
    """A net whose activations are thousands of times as large as the latent."""
    waves = torch.linspace(0.1, 2.0, 2048) * x[..., None]
    return waves.sin().exp().tanh().mean(-1) - x * times_B[:, None, None, None] / 2


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Adds up the storages that live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the same
        self.known: set[int] = set()
        self.now: int = 0
        self.peak: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self._count(one.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place not in self.known:
            self.known.add(place)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


def peak_bytes(call: Callable[[], object]) -> int:
    """The most bytes in tensors at any time of a call, of those that it makes."""
    watch = _Watch()
    with watch:
        call()
    return watch.peak
