"""How long a cluster would take, from what the buckets of a real build cost: which bucket size
wastes least on stragglers and fixed cost.

    python -m tests.benchmarks.cluster.estimate BUILD [--clips 10000000] [--cores 1000]

BUILD is a finished build with one worker, many buckets and verify.relabel_clips = 0 (so many clips
of a whole corpus are labelled again, however large it is, which would seem a cost of its few
buckets). Of each stage's runs/<id>/<stage>.json a line is fitted: seconds of a bucket = fixed +
clips × cost, with the spread of a clip around it; the bucket that came first is left out, as a
worker's imports fall on it. What a bucket costs outside the stage's work (fingerprint, markers, the
engine) is the rest of the stage's wall time. Then cores take buckets greedily, in no order, stage
after stage, each waiting for the one before. Bucket sizes vary as the hash deals songs (Poisson);
in the heavy case 1 % of the buckets cost three times as much. Nothing of a network or of an object
store's answers is in it.
"""

import argparse
import heapq
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STAGES = ("annotate", "filter", "vary", "caption", "pack", "verify")
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
MOST_IDLE = 0.10
HEAVY_SHARE, HEAVY_TIMES = 0.01, 3.0


class Fit(NamedTuple):
    """Seconds of a stage: per bucket inside and outside its own work, per clip, a clip's spread,
    and of a worker's start.
    """

    fixed_s: float
    outside_s: float
    clip_s: float
    spread_s: float
    start_s: float


class Run(NamedTuple):
    """A simulated build: hours, share of the cores' time in which they wait for the last, and share
    that is fixed cost of buckets.
    """

    wall_h: float
    idle: float
    fixed: float


def last_run(build: Path, stage: str) -> Path:
    """The last run in which a stage had something to do."""
    return max(path.parent for path in build.glob(f"runs/*/{stage}.json"))


def fitted(build: Path, stage: str) -> Fit:
    """The stage's costs from the last run that took it."""
    run = last_run(build, stage)
    clips = json.loads((build / "clips/plan.json").read_text())["value"]["clips"]
    work = {row[0]: row[2] for row in json.loads((run / f"{stage}.json").read_text()) if row[1]}
    first = json.loads((run / f"{stage}.deal.json").read_text())[0][0]
    step = json.loads((run / "run.json").read_text())["steps"][stage]
    names = [name for name in work if name != first]
    sizes, seconds = (
        np.array([clips[name] for name in names], float),
        np.array([work[name] for name in names]),
    )
    # Seconds scatter as the root of the size, so each bucket is weighed by one over that.
    weights = 1 / np.sqrt(sizes)
    columns = np.stack([np.ones_like(sizes), sizes], axis=1)
    (fixed_s, clip_s), *_ = np.linalg.lstsq(
        columns * weights[:, None], seconds * weights, rcond=None
    )
    if fixed_s < 0:
        fixed_s, clip_s = 0.0, seconds.sum() / sizes.sum()
    residual = (seconds - fixed_s - clip_s * sizes) * weights
    outside_s = max(0.0, step["seconds"] - step["work_s"]) / len(work)
    start_s = max(0.0, work[first] - fixed_s - clip_s * clips[first])
    return Fit(
        float(fixed_s), outside_s, float(clip_s), float(np.sqrt(np.mean(residual**2))), start_s
    )


def bucket_seconds(
    fit: Fit, sizes: NDArray[np.int64], heavy: bool, draw: np.random.Generator
) -> NDArray[np.float64]:
    """Cost of each bucket, drawn."""
    work = (
        fit.fixed_s
        + fit.clip_s * sizes
        + fit.spread_s * np.sqrt(sizes) * draw.standard_normal(len(sizes))
    )
    work = np.maximum(work, fit.fixed_s + 0.2 * fit.clip_s * sizes)
    if heavy:
        work[draw.random(len(work)) < HEAVY_SHARE] *= HEAVY_TIMES
    return np.asarray(work + fit.outside_s)


def greedy(seconds: NDArray[np.float64], cores: int, start_s: float) -> float:
    """When the last core is done, where each that is free takes the next bucket."""
    free = [start_s] * cores
    for each in seconds.tolist():
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def simulated(fits: dict[str, Fit], clips: int, size: int, cores: int, heavy: bool) -> Run:
    """All stages of a build, one after the other."""
    draw = np.random.default_rng(size)
    sizes = draw.poisson(size, max(1, clips // size))
    sizes = sizes[sizes > 0]
    wall_s = busy_s = fixed_s = 0.0
    for fit in fits.values():
        seconds = bucket_seconds(fit, sizes, heavy, draw)
        wall_s += greedy(seconds, cores, fit.start_s)
        busy_s += float(seconds.sum()) + fit.start_s * cores
        fixed_s += (fit.fixed_s + fit.outside_s) * len(sizes)
    return Run(wall_s / 3600, 1 - busy_s / (wall_s * cores), fixed_s / (wall_s * cores))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path)
    parser.add_argument("--clips", type=int, default=10_000_000)
    parser.add_argument("--cores", type=int, default=1000)
    arguments = parser.parse_args()
    fits = {stage: fitted(arguments.build, stage) for stage in STAGES}
    plan = json.loads((arguments.build / "clips/plan.json").read_text())["value"]["clips"]
    print(
        f"Fitted on {sum(plan.values())} clips in {len(plan)} buckets "
        f"of {min(plan.values())} to {max(plan.values())}, seconds:\n"
    )
    print(
        "| stage | a clip | its spread | a bucket, inside | outside | a worker's start |\n"
        "|---|---:|---:|---:|---:|---:|"
    )
    for stage, fit in fits.items():
        cells = (fit.clip_s, fit.spread_s, fit.fixed_s, fit.outside_s, fit.start_s)
        print(f"| {stage} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    print(f"\n{arguments.clips:,} clips on {arguments.cores:,} cores:\n")
    print(
        "| clips a bucket | buckets | hours | idle | fixed cost | hours, heavy | idle, heavy "
        "|\n|---:|---:|---:|---:|---:|---:|---:|"
    )
    best = {False: 0, True: 0}
    for size in SIZES:
        runs = {
            heavy: simulated(fits, arguments.clips, size, arguments.cores, heavy)
            for heavy in (False, True)
        }
        best |= {heavy: size for heavy, run in runs.items() if run.idle < MOST_IDLE}
        plain, loaded = runs[False], runs[True]
        figures = (
            f"{plain.wall_h:.2f} | {plain.idle:.1%} | "
            f"{plain.fixed:.1%} | {loaded.wall_h:.2f} | {loaded.idle:.1%}"
        )
        print(f"| {size} | {arguments.clips // size:,} | {figures} |", flush=True)
    print(
        "\n"
        f"Largest size with less than {MOST_IDLE:.0%} idle: "
        f"{best[False]} clips; in the heavy case: {best[True]}."
    )


if __name__ == "__main__":
    main()
