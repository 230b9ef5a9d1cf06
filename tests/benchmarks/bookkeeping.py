"""What the driver of a build of millions does by itself: listing, planning, settling, asking what
is done, closing.

    python -m tests.benchmarks.bookkeeping [--inputs 10000000] [--folder /tmp]

The corpus is made up: 20 manifests of remote files that nobody opens (ingest.check_remote = false),
one 10 s clip each, 1 % of them the audio of another one, 1 % dead. What workers do is replaced
(probing, by made-up songs; the stages, by stubs that write small files) or run apart (cutting).
Each step runs in a process of its own; printed are its wall and CPU seconds, its peak memory, and
the files it wrote in the output. Then comes the same with nothing changed, as in a nightly run, and
with 1 % more inputs.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flows.build.order import ORDER
from flows.build.run_stage import run_stages, sizes_of
from pipelines.beam.options import Engine
from pipelines.build.markers import marker_name
from pipelines.build.plans import read_listing
from pipelines.inputs.listing import list_sources
from pipelines.reports.plan import plan_build
from pipelines.stages.inputs import cut
from pipelines.stages.inputs.assign_buckets import assign_corpus
from pipelines.stages.inputs.list_inputs import write_listing
from pipelines.stages.output.close import close_dataset
from pipelines.storage.store import Store
from tests.benchmarks.made_up import (
    RECIPE,
    cut_fast,
    cut_slice,
    probe,
    stage_bucket,
    stub,
    write_manifests,
)

MANIFESTS = 20
CUT = 64  # slices that are cut by the stage itself, for its cost
GOAL_S, GOAL_MB = 600, 2048
FIRST, NIGHTLY, MORE = ("list", "plan", "settle"), ("list", "settle"), ("list", "settle")
STAGES = ("stage", "stage done", "close")


def sources(work: Path) -> list[str]:
    return sorted(str(path) for path in (work / "in").iterdir())


def step_list(work: Path, store: Store) -> str:
    slices = write_listing(store, list_sources(sources(work), store, RECIPE), RECIPE)
    return f"{sum(slices.values()):,} rows in {len(slices):,} slices"


def step_plan(work: Path, _: Store) -> str:
    plan = plan_build(list_sources(sources(work), Store(str(work / "out")), RECIPE), RECIPE)
    return f"{plan.inputs:,} inputs, {plan.sampled:,} drawn, {plan.unread:,} unread"


def step_settle(_: Path, store: Store) -> str:
    plan = assign_corpus(store, read_listing(store), RECIPE)
    return f"{plan.inputs.counts}, {len(plan.buckets):,} buckets"


def step_stage(_: Path, store: Store) -> str:
    stages = [stub(ORDER[0])]
    [report] = run_stages(stages, store, RECIPE, Engine(), "runs/stub", lambda _: None)
    return f"{report.run:,} of {report.buckets:,} buckets run"


def step_close(_: Path, store: Store) -> str:
    return (
        f"{close_dataset(store, RECIPE, [stub(stage) for stage in ORDER]).samples.written:,} "
        "samples"
    )


STEPS: dict[str, Callable[[Path, Store], str]] = {
    "list": step_list,
    "plan": step_plan,
    "settle": step_settle,
    "stage": step_stage,
    "stage done": step_stage,
    "close": step_close,
}


def child(step: str, work: Path) -> None:
    """Take one step in this process and print its cost as JSON."""
    began, first = time.time(), time.perf_counter()
    note = STEPS[step](work, Store(str(work / "out")))
    wall_s, used = time.perf_counter() - first, resource.getrusage(resource.RUSAGE_SELF)
    found = [
        entry
        for folder in (work / "out").iterdir()
        if folder.is_dir()
        for entry in os.scandir(folder)
    ]
    files = sum(entry.stat().st_mtime > began and entry.is_file() for entry in found)
    print(json.dumps([wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, files, note]))


def measured(step: str, work: Path) -> list[Any]:
    """Cost of a step in a process of its own, printed as a row of the table."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.bookkeeping",
        "--step",
        step,
        "--folder",
        str(work),
    ]
    cost = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[
            -1
        ]
    )
    print(
        f"| {step} | {cost[0]:.1f} | {cost[1]:.1f} | {cost[2]:.0f} | {cost[3]:,} | {cost[4]} |",
        flush=True,
    )
    return list(cost)


def workers(
    name: str, work: Path, units: Sequence[str], function: Callable[[str, str], None], inputs: int
) -> None:
    """What workers do, in two processes."""
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(function, [(str(work / "out"), unit) for unit in units], chunksize=8)
    wall_s = time.perf_counter() - began
    print(
        (
            f"| *workers: {name}* | {wall_s:.1f} | | | | {len(units):,} units, "
            f"{2e6 * wall_s / inputs:.0f} µs an input and core |"
        ),
        flush=True,
    )


def build(title: str, work: Path, steps: Sequence[str], inputs: int, fresh: bool) -> None:
    """Measure the driver's steps of a build, with the workers' between them."""
    store = Store(str(work / "out"))
    print(
        (
            "\n"
            f"**{title}**\n"
            "\n"
            "| step | wall s | CPU s | peak MiB | files | |\n"
            "|---|---:|---:|---:|---:|---|"
        ),
        flush=True,
    )
    costs = []
    for step in steps:
        if step == "settle" and fresh:
            sizes = sizes_of(cut.STAGE, store)
            slices = [name for name in sizes if not store.exists(marker_name("cut", name))]
            workers("probe (made up)", work, slices, probe, inputs)
            workers("cut", work, slices[:CUT], cut_slice, sum(sizes[name] for name in slices[:CUT]))
            workers("cut (made up)", work, slices[CUT:], cut_fast, inputs)
        if step == "close" and fresh:
            buckets = [
                name
                for name in sizes_of(ORDER[0], store)
                if not store.exists(marker_name(ORDER[1].folder, name))
            ]
            workers("stages (stubs)", work, buckets, stage_bucket, inputs)
        costs.append(measured(step, work))
    wall_s, peak_mb = sum(cost[0] for cost in costs), max(cost[2] for cost in costs)
    print(
        f"| sum, largest | {wall_s:.1f} | {sum(cost[1] for cost in costs):.1f} | {peak_mb:.0f} | "
        f"| goal {GOAL_S} s, {GOAL_MB} MiB |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to work; several GB are needed"
    )
    parser.add_argument(
        "--no-stages",
        action="store_true",
        help="only up to the buckets: without a stage over them, and closing",
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        child(arguments.step, arguments.folder)
        return
    stages = () if arguments.no_stages else STAGES
    work = Path(tempfile.mkdtemp(prefix="bookkeeping-", dir=arguments.folder))
    try:
        write_manifests(work / "in", 0, arguments.inputs, MANIFESTS)
        build(
            f"{arguments.inputs:,} inputs, first",
            work,
            (*FIRST, *stages),
            arguments.inputs,
            fresh=True,
        )
        build("nothing changed", work, (*NIGHTLY, *stages[1:]), arguments.inputs, fresh=False)
        more = arguments.inputs // 100
        write_manifests(work / "in", arguments.inputs, more, 1)
        build(f"{more:,} more", work, (*MORE, *stages[:1], *stages[2:]), more, fresh=True)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
