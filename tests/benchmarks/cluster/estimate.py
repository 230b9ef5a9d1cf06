"""How long a cluster would take, from what the buckets of a real build cost: which bucket size
wastes least on stragglers and fixed cost.

    python -m tests.benchmarks.cluster.estimate BUILD [--clips 10000000] [--cores 1000]
        [--engine-ms 0] [--start 0]

BUILD is a finished build with one worker, many buckets and verify.relabel_clips = 0 (so many clips
of a whole corpus are labelled again, however large it is, which would seem a cost of its few
buckets). Of its last run's reports a line is fitted for each stage over buckets: seconds of a
bucket = fixed + clips × cost, with the spread of a clip around it; the bucket that came first is
left out, as a worker's imports fall on it. What a bucket costs outside the stages' work
(fingerprints, markers) is the rest of the steps' wall time; what an engine adds to each, and to the
start of a job, is measured by `tests.benchmarks.cluster.scale` and `overhead`, and given here in
milliseconds and seconds.

Then cores take buckets greedily, in no order, each through all stages, as one job does them. Bucket
sizes vary as the hash deals songs (Poisson); in the heavy case 1 % of the buckets cost three times
as much. Nothing of a network or of an object store's answers is in it.
"""

import argparse
import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.build.order import order_of
from pipelines.build.outputs import Partition
from pipelines.build.plans import sizes_of
from pipelines.engine.pool import BucketRun, read_rows
from pipelines.storage.store import Store
from schemas.recipe import Recipe

SIZES: Final = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
MOST_IDLE: Final = 0.10
HEAVY_SHARE, HEAVY_TIMES = 0.01, 3.0


class Fit(NamedTuple):
    """Seconds of a stage: per bucket, per clip, a clip's spread, and of a worker's start."""

    fixed_s: float
    clip_s: float
    spread_s: float
    start_s: float


class Costs(NamedTuple):
    """Seconds of a build: of its stages, of a bucket beside their work, and before a worker's
    first bucket.
    """

    stages: dict[str, Fit]
    beside_s: float
    start_s: float

    def of_buckets(
        self, sizes: NDArray[np.int64], heavy: bool, draw: np.random.Generator
    ) -> NDArray[np.float64]:
        """What each bucket costs at all stages together, drawn."""
        work = np.zeros(len(sizes))
        for fit in self.stages.values():
            drawn = (
                fit.fixed_s
                + fit.clip_s * sizes
                + fit.spread_s * np.sqrt(sizes) * draw.standard_normal(len(sizes))
            )
            work += np.maximum(drawn, fit.fixed_s + 0.2 * fit.clip_s * sizes)
        if heavy:
            work[draw.random(len(work)) < HEAVY_SHARE] *= HEAVY_TIMES
        return np.asarray(work + self.beside_s)

    @property
    def fixed_s(self) -> float:
        """What a bucket costs whatever is in it."""
        return self.beside_s + sum(fit.fixed_s for fit in self.stages.values())


class Run(NamedTuple):
    """A simulated build: hours, share of the cores' time in which they wait for the last, and share
    that is fixed cost of buckets.
    """

    wall_h: float
    idle: float
    fixed: float


class Measured(NamedTuple):
    """The last run of a build: what became of each bucket, and how many clips each has."""

    folder: str
    rows: Sequence[BucketRun]
    clips: dict[str, int]

    @classmethod
    def read(cls, store: Store, stages: Sequence[str]) -> "Measured":
        """The run in which the stages did something."""
        run = max(path.parent for path in Path(store.url).glob(f"runs/*/{stages[0]}.json"))
        folder = f"runs/{run.name}"
        return cls(folder, read_rows(store, folder, stages), sizes_of(Partition.BUCKETS, store))


def fitted(run: Measured, stage: str, first: str) -> Fit:
    """A stage's costs; `first` is the bucket that a worker's imports fall on."""
    work = {row.bucket: row.work_s for row in run.rows if row.stage == stage and row.ran}
    names = [name for name in work if name != first]
    sizes = np.array([run.clips[name] for name in names], float)
    seconds = np.array([work[name] for name in names])
    # Seconds scatter as the root of the size, so each bucket is weighed by one over that.
    weights = 1 / np.sqrt(sizes)
    columns = np.stack([np.ones_like(sizes), sizes], axis=1)
    (fixed_s, clip_s), *_ = np.linalg.lstsq(
        columns * weights[:, None], seconds * weights, rcond=None
    )
    if fixed_s < 0:
        fixed_s, clip_s = 0.0, seconds.sum() / sizes.sum()
    residual = (seconds - fixed_s - clip_s * sizes) * weights
    start_s = max(0.0, work[first] - fixed_s - clip_s * run.clips[first])
    return Fit(float(fixed_s), float(clip_s), float(np.sqrt(np.mean(residual**2))), start_s)


def costs(store: Store, engine_s: float, start_s: float) -> Costs:
    """What a build by one worker cost, and what an engine adds to a bucket and to a job's start."""
    stages = [stage.name for stage in order_of(Recipe())]
    run = Measured.read(store, stages)
    first = max(run.clips, key=lambda name: run.clips[name])  # the largest is taken first
    fits = {stage: fitted(run, stage, first) for stage in stages}
    steps = store.read_json(f"{run.folder}/run.json")["steps"]
    beside = sum(steps[name]["seconds"] - steps[name]["work_s"] for name in stages)
    starts = start_s + sum(fit.start_s for fit in fits.values())
    return Costs(fits, max(0.0, beside) / len(run.clips) + engine_s, starts)


def greedy(seconds: NDArray[np.float64], cores: int, start_s: float) -> float:
    """When the last core is done, where each that is free takes the next bucket."""
    free = [start_s] * cores
    for each in seconds.tolist():
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def simulated(costs: Costs, clips: int, size: int, cores: int, heavy: bool) -> Run:
    """A build in buckets of about so many clips."""
    draw = np.random.default_rng(size)
    sizes = draw.poisson(size, max(1, clips // size))
    sizes = sizes[sizes > 0]
    seconds = costs.of_buckets(sizes, heavy, draw)
    wall_s = greedy(seconds, cores, costs.start_s)
    busy_s = float(seconds.sum()) + costs.start_s * cores
    fixed_s = costs.fixed_s * len(sizes)
    return Run(wall_s / 3600, 1 - busy_s / (wall_s * cores), fixed_s / (wall_s * cores))


def main() -> None:
    """Fit, simulate, and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path)
    parser.add_argument("--clips", type=int, default=10_000_000)
    parser.add_argument("--cores", type=int, default=1000)
    parser.add_argument("--engine-ms", type=float, default=0.0)
    parser.add_argument("--start", type=float, default=0.0)
    arguments = parser.parse_args()
    store = Store(str(arguments.build.resolve()))
    measured = costs(store, arguments.engine_ms / 1e3, arguments.start)
    plan = sizes_of(Partition.BUCKETS, store)
    print(
        f"Fitted on {sum(plan.values())} clips in {len(plan)} buckets "
        f"of {min(plan.values())} to {max(plan.values())}, seconds:\n"
    )
    print(
        "| stage | a clip | its spread | a bucket | a worker's start |\n|---|---:|---:|---:|---:|"
    )
    for stage, fit in measured.stages.items():
        cells = (fit.clip_s, fit.spread_s, fit.fixed_s, fit.start_s)
        print(f"| {stage} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    print(f"| *beside the stages* | | | {measured.beside_s:.3f} | {arguments.start:.3f} |")
    print(f"\n{arguments.clips:,} clips on {arguments.cores:,} cores:\n")
    print(
        "| clips a bucket | buckets | hours | idle | fixed cost | hours, heavy | idle, heavy "
        "|\n|---:|---:|---:|---:|---:|---:|---:|"
    )
    best = {False: 0, True: 0}
    for size in SIZES:
        runs = {
            heavy: simulated(measured, arguments.clips, size, arguments.cores, heavy)
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
