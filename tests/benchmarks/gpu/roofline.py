"""Operations, bytes and an estimated time of a training step of each preset on a GPU.

    python -m tests.benchmarks.gpu.roofline [--gpu H100] [--batch 32]

Each operation of a forward and backward pass, counted on tensors without numbers, takes the longer
of its work and its traffic in bf16: products at three quarters of the peak, attention at what
FlashAttention reaches, all else at the memory's pace. *Fused* leaves out what pointwise operations
hand to each other. The optimizer's part is its traffic in float32. An estimate, good to a fifth.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from training.munet.config import MuNetConfig
from training.run.presets import READY
from training.run.recipe import TrainRecipe
from training.run.throughput import bf16_peak_tflops, stand_in

_TEXT_TOKENS: Final = 96
_REACHED: Final = 0.75  # of the peak by large products
# TFLOP/s of FlashAttention on an H100, forward and backward, for heads of 64 and of 32 (H100: FA2)
_ATTENTION: Final = {True: (370.0, 296.0), False: (190.0, 150.0)}
_TB_PER_S: Final = {"H100": 3.0, "H200": 4.3, "A100": 1.7}
_BF16: Final = 2
# bytes a weight: bf16 copies for the net and gradients back (a micro-batch), clipping, AdamW in one
# kernel, averages (a step)
_OPTIMIZER_BYTES: Final = 6 + 6 + 8 + 28 + 12
_POINTWISE: Final = torch.Tag.pointwise


class Counted(NamedTuple):
    """An operation."""

    flops: float
    reads: tuple[int, ...]  # tensors, by their number
    writes: tuple[int, ...]
    rate_tflops: float
    pointwise: bool


class Roofline(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations as they come; tensors are kept, so that their numbers stay theirs."""

    def __init__(self, peak: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rate = peak * _REACHED
        self.counted: list[Counted] = []
        self._kept: dict[int, torch.Tensor] = {}
        self._roots: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """One operation; views cost nothing."""
        out = func(*args, **(kwargs or {}))
        given, made = list(_tensors(args)), list(_tensors((out,)))
        if func.is_view or func is torch.ops.aten._unsafe_view.default:
            for one in made:
                self._roots[self._number(one)] = self._root(given[0])
            return out
        rule = flop_registry.get(func.overloadpacket)
        flops = float(rule(*args, **(kwargs or {}), out_val=out)) if rule else 0.0
        self.add(flops, given, made, self._rate, _POINTWISE in func.tags)
        return out

    def add(
        self,
        flops: float,
        given: Sequence[torch.Tensor],
        made: Sequence[torch.Tensor],
        rate: float,
        pointwise: bool = False,
    ) -> None:
        """Note an operation."""
        reads, writes = (tuple(self._root(one) for one in part) for part in (given, made))
        self.counted.append(Counted(flops, reads, writes, rate, pointwise))

    def _number(self, tensor: torch.Tensor) -> int:
        self._kept.setdefault(id(tensor), tensor)
        return id(tensor)

    def _root(self, tensor: torch.Tensor) -> int:
        number = self._number(tensor)
        return self._roots.get(number, number)

    def bytes_of(self, numbers: Sequence[int]) -> float:
        """Bytes of tensors, in bf16."""
        return float(sum(self._kept[one].numel() * _BF16 for one in numbers))

    def seconds(self, memory: float, *, fused: bool) -> float:
        """The time of all, with so many bytes a second."""
        producers = {one for each in self.counted if each.pointwise for one in each.writes}
        needed = {one for each in self.counted if not each.pointwise for one in each.reads}
        spent = 0.0
        for each in self.counted:
            reads, writes = each.reads, each.writes
            if fused and each.pointwise:
                reads = tuple(one for one in reads if one not in producers)
                writes = tuple(one for one in writes if one in needed)
            traffic = (self.bytes_of(reads) + self.bytes_of(writes)) / memory
            spent += max(each.flops / (each.rate_tflops * 1e12), traffic)
        return spent

    @property
    def tflop(self) -> float:
        """All work."""
        return sum(each.flops for each in self.counted) / 1e12

    @property
    def gigabytes(self) -> float:
        """All traffic, unfused."""
        return sum(self.bytes_of(each.reads + each.writes) for each in self.counted) / 1e9


def _tensors(values: Sequence[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _attention(counting: Roofline) -> Callable[..., torch.Tensor]:
    """Attention that is counted as one kernel, forward and backward."""

    class Attended(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *parts: torch.Tensor) -> torch.Tensor:
            query, key, _ = parts
            ctx.parts, (*many, places, width) = parts, query.shape
            ctx.flops = 4.0 * torch.Size(many).numel() * places * key.shape[2] * width
            ctx.rates = _ATTENTION[width >= 64]
            out = torch.empty_like(query)
            counting.add(ctx.flops, parts, [out], ctx.rates[0])
            return out

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, ...]:
            made = tuple(torch.empty_like(part) for part in ctx.parts)
            counting.add(2.5 * ctx.flops, [*ctx.parts, *grads], made, ctx.rates[1])
            return made

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None
    ) -> torch.Tensor:
        attended: torch.Tensor = Attended.apply(query, key, value)  # type: ignore[no-untyped-call]
        return attended

    return attend


@contextmanager
def counting(peak: float) -> Iterator[Roofline]:
    """Count what is done in the block."""
    made = Roofline(peak)
    attend = _attention(made)
    with (
        mock.patch("training.munet.attention.scaled_dot_product_attention", attend),
        mock.patch("training.dit.block.scaled_dot_product_attention", attend),
        made,
    ):
        yield made


def latent_shape(recipe: TrainRecipe) -> tuple[int, int, int]:
    """Channels, frames, bands of the latents that a preset learns."""
    return (64, 80, 8) if recipe.codec.name == "mel" else (8, 256, 16)


def row(name: str, recipe: TrainRecipe, batch: int, gpu: str) -> str:
    """The line of a table."""
    peak, memory = bf16_peak_tflops(gpu) or 1.0, _TB_PER_S[gpu] * 1e12
    inputs = stand_in(recipe, latent_shape(recipe), "meta", batch, _TEXT_TOKENS)
    with counting(peak) as counted:
        inputs.predicted().sum().backward()  # type: ignore[no-untyped-call]
    parameters = sum(one.numel() for one in inputs.model.parameters())
    optimizer_s = parameters * _OPTIMIZER_BYTES / memory
    figures = []
    for fused in (False, True):
        step_s = counted.seconds(memory, fused=fused) + optimizer_s
        mfu = counted.tflop / step_s / peak
        figures.append(f"{1e3 * step_s:.0f} | {mfu:.0%} | {3600e-3 * batch / step_s:.0f}")
    size = f"{parameters / 1e6:.1f} | {counted.tflop / batch:.3f} | {counted.gigabytes / batch:.2f}"
    return f"| {name} | {size} | {' | '.join(figures)} |"


def old_small() -> TrainRecipe:
    """`small` as it was until 2026-11-29."""
    model = READY["small"].model
    assert isinstance(model, MuNetConfig)
    widths, attended = (128, 160, 224, 224), (True, True, True, False)
    return READY["small"].replaced(
        model=model.replaced(widths=widths, attended=attended, head_width=32)
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", default="H100", choices=sorted(_TB_PER_S))
    parser.add_argument("--batch", type=int, default=32)
    chosen = parser.parse_args()
    recipes = {name: READY[name] for name in READY if name not in ("n2m", "stable")}
    recipes["small before"] = old_small()
    columns = "ms a step | MFU | 1000 samples/h"
    print(f"| | M parameters | TFLOP a sample | GB a sample | eager {columns} | fused {columns} |")
    print("|---|" + "---:|" * 9)
    for name, recipe in recipes.items():
        print(row(name, recipe, chosen.batch, chosen.gpu))


if __name__ == "__main__":
    main()
