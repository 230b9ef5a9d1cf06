"""How long the first step of a compiled net takes: the whole net as one graph, or its blocks by
themselves; at the first start, and at the next one, as of a job that is queued again.

    python -m tests.benchmarks.gpu.compile_time [--preset tiny] [--modes blocks none]

Compiled for a CPU: on a GPU tracing takes as long, and code is made by Triton rather than g++.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import torch

from training.nets import compiled_parts
from training.run.presets import ready_recipe
from training.run.throughput import stand_in

_MODES = ("whole", "blocks", "none")


def first_step_s(preset: str, mode: str) -> float:
    """Seconds of the first forward and backward pass."""
    torch._dynamo.config.recompile_limit = 128
    torch.set_num_threads(1)
    recipe = ready_recipe(preset)
    shape = (64, 80, 8) if recipe.model.latent_channels == 64 else (8, 256, 16)
    inputs = stand_in(recipe, shape, "cpu")
    if mode == "whole":
        inputs.model.get_submodule(inputs.model.kind).compile()
    for part in compiled_parts(inputs.model) if mode == "blocks" else ():
        part.compile(dynamic=False)
    before = time.perf_counter()
    inputs.predicted().sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - before


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--modes", nargs="+", choices=_MODES, default=_MODES)
    parser.add_argument("--mode", default="", help="used by the processes themselves")
    chosen = parser.parse_args()
    if chosen.mode:
        print(json.dumps(first_step_s(chosen.preset, chosen.mode)))
        return
    for mode in chosen.modes:
        with tempfile.TemporaryDirectory() as cache:
            environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache}
            command = [sys.executable, "-m", "tests.benchmarks.gpu.compile_time", "--mode", mode]
            for start in ("first", "next"):
                done = subprocess.run(
                    [*command, "--preset", chosen.preset],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                )
                print(f"{mode:7} {start:6} start: {float(done.stdout.split()[-1]):6.1f} s")


if __name__ == "__main__":
    main()
