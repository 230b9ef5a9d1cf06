"""What one step of optimised noise takes at the published sizes: a gradient of a piece's latents,
through all steps of the sampler, back to the noise that they began with.

    python -m tests.benchmarks.gpu.steering_step [--presets small small-dit base] [--steps 2]
        [--threads 2] [--rehearse]

On a CPU in float32, one piece, guided, weights drawn at random; a preset has a process of its own,
whose peak is told beside what it holds before the gradient is asked for. The loss is the mean
square of the latents: what a loss of their sound adds is measured in `steering_trial`.
`tests.benchmarks.gpu` measures the same on a GPU.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import torch

from tests.benchmarks.gpu.batches import drawn, flan_shaped, rehearsed
from training.diffusion.sampling import keyed_noise, predictor
from training.diffusion.text_encoder import TextCache
from training.run.parallel import World, autocast
from training.run.presets import READY
from training.run.recipe import Precision, TrainRecipe
from training.run.trainer import Trainer
from training.samplers.denoise import denoised
from training.steering.optimise import recomputed

PRESETS: Final = ("small", "small-dit", "base")


def noise_gradient(
    recipe: TrainRecipe, device: torch.device, steps: int, *, narrow: bool
) -> Callable[[], torch.Tensor]:
    """What gives the gradient of one piece's latents by its noise, each time it is called."""
    data = recipe.data.replaced(batch=1, micro_batch=1)
    recipe = recipe.replaced(data=data)
    source = drawn(recipe, pinned=False)
    states = TextCache(flan_shaped(recipe.model.text_width, device, narrow), 0)
    # the trainer itself, and averages and moments with it, is gone once this returns
    trainer = Trainer(recipe, source.codec, states, World(0, 1, device))
    conditions = trainer.conditions(next(source.batches()))
    rules, precision = recipe.sampling.replaced(steps=steps, clamp=False), recipe.run.precision
    model, (_, frames, bands) = trainer.model.requires_grad_(requires_grad=False), trainer.shape
    predict = recomputed(predictor(model, conditions, states.encode([""]), rules))
    noise = keyed_noise(model, conditions, keys=["0"], seed=0, frames=frames, bands=bands)

    def gradient() -> torch.Tensor:
        start = noise.start().requires_grad_()
        with autocast(device, precision):
            end = denoised(predict, start, model.objective, rules, fresh=noise.at_step)
        [found] = torch.autograd.grad(end.square().mean(), [start])
        return found

    return gradient


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _measured(preset: str, steps: int, *, narrow: bool) -> dict[str, float]:
    """Seconds and memory of the second gradient: the first one also warms up."""
    recipe = READY[preset]
    recipe = recipe.replaced(run=recipe.run.replaced(precision=Precision.FP32, compile=False))
    recipe = rehearsed(recipe) if narrow else recipe
    gradient = noise_gradient(recipe, torch.device("cpu"), steps, narrow=narrow)
    before_gib = _peak_gib()
    gradient()
    began = time.perf_counter()
    found = gradient()
    spent_s = time.perf_counter() - began
    return {
        "held_gib": before_gib,
        "peak_gib": _peak_gib(),
        "seconds": spent_s,
        "norm": float(found.norm()),
    }


def main() -> None:
    """Print a row for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="+", choices=sorted(READY), default=PRESETS)
    parser.add_argument("--steps", type=int, nargs="+", default=[2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rehearse", action="store_true", help="as narrow as can be")
    parser.add_argument("--alone", default="", help="used by the processes themselves")
    chosen = parser.parse_args()
    if chosen.alone:
        torch.set_num_threads(chosen.threads)
        print(json.dumps(_measured(chosen.alone, chosen.steps[0], narrow=chosen.rehearse)))
        return
    print("| preset | steps | held, GiB | peak, GiB | s | gradient's norm |")
    print("|---|---:|---:|---:|---:|---:|")
    for preset in chosen.presets:
        for steps in chosen.steps:
            row = _alone(preset, steps, chosen)
            print(
                f"| {preset} | {steps} | {row['held_gib']:.2f} | {row['peak_gib']:.2f} "
                f"| {row['seconds']:.1f} | {row['norm']:.2e} |",
                flush=True,
            )


def _alone(preset: str, steps: int, chosen: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.gpu.steering_step", "--alone", preset]
    command += ["--steps", str(steps), "--threads", str(chosen.threads)]
    command += ["--rehearse"] if chosen.rehearse else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
