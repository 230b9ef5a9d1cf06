"""Two nets side by side on one corpus: what each has learned after the same CPU time, or the same
data.

    python -m tests.benchmarks.training.net_trial SHARDS --out OUT [--nets tiny tiny-munet]
        [--minutes 12] [--seeds 0 1 2] [--samples 25600] [--prompts 50] [--set run.precision=fp32]

SHARDS is a build with latents (`obbligato encode`). Each preset is timed first, for as many steps
as fit in the CPU time of `--minutes`; with `--samples` each sees that many instead, whatever time
it takes. Then it is trained and evaluated by the commands that everybody uses. What is done already
is not done again. Prints Markdown: a row for each net and seed, and the mean of each net.

CPU time is user and system time of the whole training process, its reader included. Memory is its
peak. Losses are of the validation split; those of different objectives cannot be compared.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from schemas.record import Record
from training.run.metrics_log import FOLDER
from training.run.presets import ready_recipe

TIMED: Final = (10, 50)  # steps, of which the difference is timed: starting up is not
CONTROLS: Final = ("TB", "CK", "PCM", "ECM", "BM")
TIMELINE: Final = (
    "beat F",
    "chord overlap, root",
    "chord overlap, majmin",
    "chord overlap, sevenths",
)


class Cost(Record):
    """What a command took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


class Trial(NamedTuple):
    """A preset and a seed."""

    net: str
    seed: int


class Bench(NamedTuple):
    """Where and on what the nets are tried."""

    shards: str
    out: Path
    settings: Sequence[str]
    prompts: int  # written from labels of held-out songs, for each control

    def cost(self, name: str, *arguments: str) -> Cost:
        """What a command of ours takes; if it is done already, what it took."""
        note = self.out / f"{name}.cost.json"
        if not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(_run(arguments).model_dump_json())
        return Cost.model_validate_json(note.read_text())

    def trained(self, trial: Trial, name: str, steps: int) -> Cost:
        """A net trained for so many steps, with a checkpoint at its end."""
        knobs = [f"run.steps={steps}", f"run.seed={trial.seed}", f"run.checkpoint_every={steps}"]
        knobs += ["run.played=0", f"run.validate_every={max(1, steps // 8)}", *self.settings]
        options = [part for knob in knobs for part in ("--set", knob)]
        out = str(self.out / name)
        return self.cost(name, "train", self.shards, "--out", out, "--preset", trial.net, *options)

    def step_s(self, net: str) -> float:
        """CPU seconds of a step."""
        few, many = (self.trained(Trial(net, 0), f"timed/{net}-{steps}", steps) for steps in TIMED)
        return (many.cpu_s - few.cpu_s) / (TIMED[1] - TIMED[0])

    def report(self, name: str) -> dict[str, Any]:
        """How a trained net fares by the annotators."""
        out = self.out / f"{name}-report"
        run = str(self.out / name)
        prompts = ("--prompts-from", "labels", "--prompts", str(self.prompts), "--no-ceilings")
        self.cost(f"{name}-report", "evaluate", run, self.shards, *prompts, "--out", str(out))
        found: dict[str, Any] = json.loads((out / "report.json").read_text())
        return found

    def losses(self, name: str) -> list[float]:
        """Losses on validation, at eighths of a run."""
        log = EventAccumulator(str(self.out / name / FOLDER), size_guidance={"scalars": 0})
        log.Reload()
        return [one.value for one in log.Scalars("loss/validation")]


def _run(arguments: Sequence[str]) -> Cost:
    """A command in a process of its own, which may use one core."""
    began = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "flows.cli", *arguments], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise SystemExit(f"{' '.join(arguments)} ended with status {code}")
    return _cost(used, time.monotonic() - began)


def _cost(used: resource.struct_rusage, wall_s: float) -> Cost:
    return Cost(
        cpu_s=used.ru_utime + used.ru_stime, wall_s=wall_s, peak_mb=used.ru_maxrss * 1024 / 1e6
    )


def tried(bench: Bench, trial: Trial, steps: int) -> dict[str, float]:
    """The figures of a net that is trained for so many steps."""
    name = f"{trial.net}-{trial.seed}-{steps}"
    cost, batch = bench.trained(trial, name, steps), ready_recipe(trial.net).data.batch
    weights = bench.out / name / "checkpoints" / f"step-{steps:08d}" / "model.safetensors"
    found, losses = bench.report(name), bench.losses(name)
    figures = {
        "steps": float(steps),
        "CPU s": cost.cpu_s,
        "samples a CPU s": steps * batch / cost.cpu_s,
        "weights, MB": weights.stat().st_size / 1e6,
        "peak, MB": cost.peak_mb,
        "loss, first": losses[0],
        "loss, last": losses[-1],
    }
    named = {one["name"]: one["value"] for one in (*found["figures"], *found["timeline"])}
    figures |= {one: named[one] for one in (*CONTROLS, *TIMELINE) if one in named}
    for swap in (found["swaps"] or {"swaps": []})["swaps"]:
        if swap["followed"]:
            figures[f"{swap['swap']} swaps followed"] = swap["followed"]["value"]
    space, endless = found["space"], found["space"]["frechet_infinity"] or {}
    distances = {"Fréchet": space["frechet"], "FAD∞": endless.get("at_infinity")}
    return figures | {one: value for one, value in distances.items() if value is not None}


def table(rows: Sequence[tuple[str, dict[str, float]]]) -> str:
    """Figures as Markdown: what is measured down, who across."""
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    lines = [f"| | {' | '.join(who for who, _ in rows)} |", "|---|" + "---:|" * len(rows)]
    for name in names:
        cells = (f"{row[name]:.4g}" if name in row else "–" for _, row in rows)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Figures over seeds, of those that all have."""
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: fmean(row[name] for row in rows) for name in shared}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--nets", nargs="+", default=["tiny", "tiny-munet"])
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    given = parser.parse_args()
    bench = Bench(given.shards, given.out, given.settings, given.prompts)
    steps = _steps(bench, given.minutes, given.samples)
    rows: list[tuple[str, dict[str, float]]] = []
    for net in given.nets:
        count = steps(net)
        found = [tried(bench, Trial(net, seed), count) for seed in given.seeds]
        rows += [(f"{net}, seed {seed}", one) for seed, one in zip(given.seeds, found, strict=True)]
        rows += [(f"{net}, mean", mean(found))] if len(found) > 1 else []
    print(table(rows))


def _steps(bench: Bench, minutes: float, samples: int | None) -> Callable[[str], int]:
    """How many steps a net is trained for."""
    if samples is not None:
        return lambda net: max(1, samples // ready_recipe(net).data.batch)
    return lambda net: max(1, round(minutes * 60 / bench.step_s(net)))


if __name__ == "__main__":
    main()
