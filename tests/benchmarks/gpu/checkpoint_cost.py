"""What a checkpoint and a resume cost in memory and time, with two processes.

    python -m tests.benchmarks.gpu.checkpoint_cost [--parallel fsdp] [--behind]

One step of a wide net on a corpus of kilobytes, its checkpoint, and the same command again. Of each
process: the peak of its own memory (RssAnon: files that are mapped do not count) above what it had
before, in multiples of the checkpoint's bytes, and how long the step stood still. `--behind` writes
as on a GPU: behind the steps, from copies.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.training.runs import NET, corpus, recipe
from training.run import checkpoints
from training.run.loop import _TrainingRun, train
from training.run.parallel import World, is_first_process
from training.run.trainer import Trainer


def own_bytes() -> int:
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("RssAnon"))
    return int(found.split()[1]) * 1024


class Watch:
    """The peak of memory and the seconds of one call."""

    def __init__(self, what: str, report: Callable[[dict[str, Any]], None]) -> None:
        self._what, self._report = what, report

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, watched."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            before, peak, done = own_bytes(), [0], threading.Event()

            def look() -> None:
                while not done.wait(0.002):
                    peak[0] = max(peak[0], own_bytes())

            looker, began = threading.Thread(target=look), time.perf_counter()
            looker.start()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - began
                done.set()
                looker.join()
                rise = max(0, peak[0] - before)
                self._report({"what": self._what, "mb": rise / 2**20, "s": spent})

        return watched


def one_process(folder: str, parallel: str, width: int, behind: bool) -> None:
    """A process's part: learn a step or go on, and say what it took."""
    torch.set_num_threads(1)
    if behind:
        World.runs_behind = property(lambda _: True)  # type: ignore[method-assign,assignment]
    net = NET.replaced(widths=(width, width), norm_groups=8, head_width=64)
    steps = 2 if list(Path(folder, "run").glob("checkpoints/*/state.json")) else 1
    chosen = recipe(Path(folder, "shards"), run__steps=steps, run__parallel=parallel)
    rank = os.environ.get("RANK", "0")

    def report(row: dict[str, Any]) -> None:
        with open(f"{folder}/{rank}.jsonl", "a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    _TrainingRun._save = Watch("checkpoint", report).around(_TrainingRun._save)  # type: ignore
    Trainer.restore = Watch("resume", report).around(Trainer.restore)  # type: ignore
    train(chosen.replaced(model=net), f"{folder}/run", print if is_first_process() else _silent)


def _silent(_: str) -> None:
    """What the other process says."""


def main() -> None:
    """Print what it took, by process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parallel", default="ddp")
    parser.add_argument("--behind", action="store_true")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--folder", default="", help="used by the processes themselves")
    chosen = parser.parse_args()
    if chosen.folder:
        one_process(chosen.folder, chosen.parallel, chosen.width, chosen.behind)
        return
    with tempfile.TemporaryDirectory() as folder:
        corpus(Path(folder, "shards"))
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        module = ["-m", "tests.benchmarks.gpu.checkpoint_cost", "--folder", folder]
        knobs = ["--parallel", chosen.parallel, "--width", str(chosen.width)]
        knobs += ["--behind"] if chosen.behind else []
        for _ in range(2):
            subprocess.run([sys.executable, *launcher, *module, *knobs], check=True)
        files = Path(folder, "run", checkpoints.folder_of(2)).iterdir()
        size_mb = sum(file.stat().st_size for file in files) / 2**20
        print(f"a checkpoint of {size_mb:.0f} MB")
        for rank in (0, 1):
            for line in Path(folder, f"{rank}.jsonl").read_text().splitlines():
                row = json.loads(line)
                share = row["mb"] / size_mb
                print(f"process {rank}: {row['what']:10} {share:5.2f} × {row['s']:6.2f} s")


if __name__ == "__main__":
    main()
