"""What is measured on a GPU, section by section: each gives rows of figures."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import torch
from torch.nn.functional import group_norm, scaled_dot_product_attention, silu

from tests.benchmarks.gpu.batches import drawn, flan_shaped, rehearsed
from tests.benchmarks.gpu.steering_step import PRESETS, noise_gradient
from training.diffusion.sampling import sampled_latents
from training.diffusion.text_encoder import TextCache
from training.munet.attention import FeedForward
from training.run.compiled import uncompiled
from training.run.ema import Ema
from training.run.parallel import World
from training.run.prefetch import Prefetcher
from training.run.presets import READY
from training.run.recipe import TrainRecipe
from training.run.throughput import bf16_peak_tflops, flops_per_sample
from training.run.trainer import Trainer

Row = dict[str, Any]
_CLIP_S: Final = 10.24


class Bench(NamedTuple):
    """What is measured on."""

    device: torch.device
    rehearsal: bool

    @property
    def peak_tflops(self) -> float | None:
        """Of bf16, by the maker."""
        if self.device.type != "cuda":
            return None
        return bf16_peak_tflops(torch.cuda.get_device_name(self.device))

    def median_s(self, work: Callable[[], object], times: int = 10, warm: int = 3) -> float:
        """Seconds of one call."""
        if self.rehearsal:
            times, warm = 2, 1
        spent = []
        for index in range(warm + times):
            self.finish()
            before = time.perf_counter()
            work()
            self.finish()
            if index >= warm:
                spent.append(time.perf_counter() - before)
        return statistics.median(spent)

    def finish(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def empty(self) -> None:
        """Give memory back, and count its peak anew."""
        torch.compiler.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float | None:
        """Memory at its fullest since then."""
        if self.device.type != "cuda":
            return None
        return round(torch.cuda.max_memory_allocated(self.device) / 2**30, 2)

    def normal(self, *shape: int) -> torch.Tensor:
        """Normal noise in bf16."""
        return torch.randn(*shape, device=self.device, dtype=torch.bfloat16)


def ceilings(bench: Bench) -> Iterator[Row]:
    """What 100 % is: a copy, and a product."""
    side = 256 if bench.rehearsal else 8192
    one, other = bench.normal(side, side), bench.normal(side, side)
    spent = bench.median_s(lambda: one @ other)
    yield {"what": f"product {side}³", "tflops": 2 * side**3 / spent / 1e12}
    spent = bench.median_s(one.clone)
    yield {"what": "copy", "tb_per_s": 2 * one.nbytes / spent / 1e12}


def attention(bench: Bench) -> Iterator[Row]:
    """Attention at the levels of `base` and in heads of 32, by backend, there and back."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    shapes = [(8, 5, 4096, 64), (8, 10, 1024, 64), (32, 4, 4096, 32), (32, 4, 1024, 64)]
    backends = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
    backends["efficient"] = SDPBackend.EFFICIENT_ATTENTION
    if bench.rehearsal:
        shapes, backends = [(1, 2, 64, 32)], {"math": SDPBackend.MATH}
    for shape in shapes:
        parts = [bench.normal(*shape).requires_grad_() for _ in range(3)]

        def there_and_back(parts: list[torch.Tensor] = parts) -> None:
            query, key, value = parts
            found = scaled_dot_product_attention(query, key, value)
            found.sum().backward()  # type: ignore[no-untyped-call]

        flop = 3.5 * 4 * shape[0] * shape[1] * shape[2] ** 2 * shape[3]
        for name, backend in backends.items():
            try:
                with sdpa_kernel(backend):
                    spent = bench.median_s(there_and_back)
            except RuntimeError as error:
                yield {"what": f"{name} {shape}", "error": str(error)[:80]}
                continue
            yield {"what": f"{name} {shape}", "ms": 1e3 * spent, "tflops": flop / spent / 1e12}


def layouts(bench: Bench) -> Iterator[Row]:
    """A norm and a convolution as a residual block has them, channels first and last."""
    rows, width, frames, bands = (1, 32, 16, 4) if bench.rehearsal else (8, 320, 256, 16)
    for layout in (torch.contiguous_format, torch.channels_last):
        conv = torch.nn.Conv2d(width, width, 3, padding=1, device=bench.device)
        conv = conv.to(torch.bfloat16, memory_format=layout)  # type: ignore[call-overload]
        x = bench.normal(rows, width, frames, bands).to(memory_format=layout)
        spent = bench.median_s(lambda conv=conv, x=x: conv(silu(group_norm(x, 32))))  # type: ignore[misc]
        yield {"what": f"norm and convolution, {layout}", "ms": 1e3 * spent}
    places = 64 if bench.rehearsal else 4096
    feed = FeedForward(width).to(bench.device, torch.bfloat16)
    grid = bench.normal(rows, places, width)
    yield {"what": "feed-forward", "ms": 1e3 * bench.median_s(lambda: feed(grid))}


def _trainer(bench: Bench, recipe: TrainRecipe) -> tuple[Trainer, Any]:
    """A trainer, and its loader's batches for ever."""
    chosen = rehearsed(recipe) if bench.rehearsal else recipe
    source = drawn(chosen, pinned=bench.device.type == "cuda")
    states = TextCache(flan_shaped(chosen.model.text_width, bench.device, bench.rehearsal), 0)
    return Trainer(chosen, source.codec, states, World(0, 1, bench.device)), source.batches()


def _step_row(bench: Bench, name: str, recipe: TrainRecipe, *, prefetched: bool = True) -> Row:
    """Steps as a run takes them: batches beside the step, figures a step late."""
    bench.empty()
    trainer, batches = _trainer(bench, recipe)
    data, parts = trainer.recipe.data, trainer.recipe.data.batch // trainer.recipe.data.micro_batch
    if prefetched:
        ready = Prefetcher(trainer.ready, bench.device).of(batches)
    else:
        ready = (_waited(bench, trainer, batch) for batch in batches)
    before, count = [], 0

    def step() -> None:
        nonlocal count
        before.append(trainer.step([next(ready) for _ in range(parts)], count))
        count += 1
        if len(before) > 1:
            trainer.figures(before.pop(0))

    began = time.perf_counter()
    step()
    bench.finish()
    first_s = time.perf_counter() - began
    rounds = 1 if bench.rehearsal else 10

    def some_steps() -> None:
        for _ in range(rounds):
            step()

    group_s = bench.median_s(some_steps, times=2, warm=1) / rounds
    flops = flops_per_sample(trainer.recipe, *trainer.shape) * data.batch
    peak = bench.peak_tflops
    return {
        "what": name,
        "batch": data.batch,
        "micro_batch": data.micro_batch,
        "first_step_s": first_s,
        "ms": 1e3 * group_s,
        "samples_per_s": data.batch / group_s,
        "tflops": flops / group_s / 1e12,
        "mfu": flops / group_s / 1e12 / peak if peak else None,
        "peak_gib": bench.peak_gib(),
    }


def _waited(bench: Bench, trainer: Trainer, batch: Any) -> Any:
    ready = trainer.ready(batch)
    bench.finish()
    return ready


def _with(name: str, *, micro: int, compiled: bool) -> TrainRecipe:
    recipe = READY[name]
    return recipe.replaced(
        data=recipe.data.replaced(micro_batch=micro),
        run=recipe.run.replaced(compile=compiled),
    )


def eager(bench: Bench) -> Iterator[Row]:
    """`base` as it is without a compiler: what waiting for each batch costs."""
    recipe = _with("base", micro=8, compiled=False)
    yield _step_row(bench, "base, eager, each batch waited for", recipe, prefetched=False)
    yield _step_row(bench, "base, eager, prefetched", recipe)


def compiled(bench: Bench) -> Iterator[Row]:
    """`base` compiled block by block."""
    for micro in (16, 32):
        recipe = _with("base", micro=micro, compiled=not bench.rehearsal)
        yield _step_row(bench, f"base, compiled, {micro} at once", recipe)


def smaller(bench: Bench) -> Iterator[Row]:
    """`small` and the transformer beside it."""
    for name in ("small", "small-dit"):
        yield _step_row(bench, name, _with(name, micro=32, compiled=not bench.rehearsal))
    yield _step_row(bench, "small, eager", _with("small", micro=32, compiled=False))


def optimizer(bench: Bench) -> Iterator[Row]:
    """AdamW in one kernel or not, clipping, averages, on as many weights as `base` has."""
    bench.empty()
    count, size = (4, 1000) if bench.rehearsal else (350, 4_000_000)
    net = torch.nn.ParameterList(torch.zeros(size, device=bench.device) for _ in range(count))
    for parameter in net:
        parameter.grad = torch.ones_like(parameter)
    for fused in (False, True):
        adam = torch.optim.AdamW(net.parameters(), fused=fused)
        yield {"what": f"AdamW, fused {fused}", "ms": 1e3 * bench.median_s(adam.step, 5)}
    del adam
    clip = torch.nn.utils.clip_grad_norm_
    yield {"what": "clip", "ms": 1e3 * bench.median_s(lambda: clip(net.parameters(), 1.0))}
    averages = Ema(net, 0.999)
    yield {"what": "averages", "ms": 1e3 * bench.median_s(lambda: averages.update(1000))}


def profile(bench: Bench) -> Iterator[Row]:
    """The kernels that two steps of `base` spend their time in, and how long the device rests."""
    bench.empty()
    trainer, batches = _trainer(bench, _with("base", micro=8, compiled=False))
    trainer.step([trainer.ready(next(batches)) for _ in range(2)], 0)
    with torch.profiler.profile() as profiled:
        began = time.perf_counter()
        for step in (1, 2):
            trainer.figures(trainer.step([trainer.ready(next(batches)) for _ in range(2)], step))
        bench.finish()
        spent_ms = 1e3 * (time.perf_counter() - began)
    events = sorted(profiled.key_averages(), key=lambda one: -one.self_device_time_total)
    busy_ms = sum(one.self_device_time_total for one in events) / 1e3
    yield {"what": "two steps", "ms": spent_ms, "device_busy_ms": busy_ms}
    for one in events[: 3 if bench.rehearsal else 25]:
        yield {"what": one.key[:80], "ms": one.self_device_time_total / 1e3, "calls": one.count}


@torch.no_grad()
def play(bench: Bench) -> Iterator[Row]:
    """Seconds of latents a second of playing, eight pieces at a time."""
    for name in ("base", "small", "small-dit"):
        bench.empty()
        trainer, batches = _trainer(bench, _with(name, micro=8, compiled=False))
        conditions = trainer.conditions(next(batches))
        empty_text = trainer.states.encode([""])
        pieces = len(conditions.text.mask_BL)
        steps = 2 if bench.rehearsal else min(50, trainer.recipe.sampling.steps)

        def piece(trainer: Trainer = trainer, conditions: Any = conditions) -> None:
            with trainer.precision(), uncompiled():
                sampled_latents(
                    trainer.model,
                    conditions,
                    empty_text,  # noqa: B023
                    keys=[str(index) for index in range(pieces)],  # noqa: B023
                    seed=0,
                    frames=trainer.shape[1],
                    bands=trainer.shape[2],
                    config=trainer.recipe.sampling.replaced(steps=steps, clamp=False),  # noqa: B023
                )

        spent = bench.median_s(piece, times=2, warm=1)
        yield {
            "what": f"{name}, {pieces} pieces, {steps} steps",
            "s": spent,
            "real_time_factor": pieces * _CLIP_S / spent,
            "peak_gib": bench.peak_gib(),
        }


def steered(bench: Bench) -> Iterator[Row]:
    """One step of optimised noise, a piece at a time: a gradient through steps of the sampler."""
    for name in PRESETS:
        recipe = _with(name, micro=1, compiled=False)
        recipe = rehearsed(recipe) if bench.rehearsal else recipe
        for steps in (2, 10):
            bench.empty()
            gradient = noise_gradient(recipe, bench.device, steps, narrow=bench.rehearsal)
            spent = bench.median_s(gradient, times=3, warm=1)
            yield {"what": f"{name}, {steps} steps", "s": spent, "peak_gib": bench.peak_gib()}


class Section(NamedTuple):
    """A part of the measurement, and its share of the time."""

    seconds: float
    run: Callable[[Bench], Iterator[Row]]


SECTIONS: Final = {
    "ceilings": Section(15, ceilings),
    "attention": Section(25, attention),
    "layouts": Section(15, layouts),
    "eager": Section(60, eager),
    "compiled": Section(130, compiled),
    "optimizer": Section(25, optimizer),
    "smaller": Section(90, smaller),
    "play": Section(50, play),
    "steered": Section(40, steered),
    "profile": Section(30, profile),
}
