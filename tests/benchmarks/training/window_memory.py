"""What a step takes by the length of its windows: memory and seconds, on a CPU.

    python -m tests.benchmarks.training.window_memory [--batch 4] [--presets tiny tiny-munet]

Each length in a process of its own: the largest resident set on the way there and back through the
net, over that of the model with its batch before; and the seconds of the second such step.
"""

import argparse
import resource
import subprocess
import sys
import time

import torch

from pipelines.codecs import open_codec
from training.run.presets import ready_recipe
from training.run.throughput import stand_in

LENGTHS_S = (10, 30, 95)


def measured(preset: str, seconds: float, batch: int) -> str:
    """One row of the table, measured in this process."""
    torch.set_num_threads(1)
    facts = open_codec("mel").facts
    frames = facts.frames(round(seconds * facts.rate_hz))
    made = stand_in(ready_recipe(preset), (facts.channels, frames, facts.bands), "cpu", batch=batch)
    before = _resident_mb()
    spent_s = 0.0
    for _ in range(2):
        begun = time.process_time()
        made.predicted().square().sum().backward()  # type: ignore[no-untyped-call]
        made.model.zero_grad(set_to_none=True)
        spent_s = time.process_time() - begun
    taken = _resident_mb() - before
    return (
        f"| {preset} | {seconds:g} s | {frames} | {taken:.0f} | {taken / batch:.0f} | "
        f"{spent_s / batch:.2f} |"
    )


def _resident_mb() -> float:
    """The largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--presets", nargs="+", default=["tiny", "tiny-munet"])
    parser.add_argument("--one", nargs=2, help="one row: a preset and seconds")
    chosen = parser.parse_args()
    if chosen.one:
        print(measured(chosen.one[0], float(chosen.one[1]), chosen.batch))
        return
    print("| preset | window | frames | MB | MB a sample | CPU s a sample |")
    print("|---|---|---|---|---|---|")
    for preset in chosen.presets:
        for seconds in LENGTHS_S:
            row = ["--one", preset, str(seconds), "--batch", str(chosen.batch)]
            subprocess.run([sys.executable, "-m", __spec__.name, *row], check=True)


if __name__ == "__main__":
    main()
