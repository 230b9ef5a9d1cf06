"""Many small clips through an engine: what a bucket takes there, and who needs how much memory.

    python -m tests.benchmarks.cluster.scale --out FOLDER [--clips 50000] [--bucket 16 --bucket 128]
        [--engine local --engine flink …] [--slots 1]

The corpus is made up as in `tests.benchmarks.bookkeeping`: inputs that nobody opens, a clip each,
in buckets of about so many clips; its stages are stubs that write what closing reads, so what is
measured is everything but their work. All stages over buckets run as the one job that a build makes
of them, on each of two machines with so many slots (`infra/cluster/run.sh` says what an engine
needs), or in twice as many processes of this one. Then the same with nothing to do.

Seconds are those of the job inside the driver, without starting servers. Memory is the largest
resident set of any one process of a kind, looked at five times a second; a Java program's is what
it took of what it may take, not what it needs. Prints a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from flows.build.order import order_of
from flows.build.run_stage import StepReport, chains_of, run_stages
from flows.build.run_step import new_run
from pipelines.beam.options import Engine, engine_of
from pipelines.build.plans import read_listing
from pipelines.engine.stage import Stage
from pipelines.inputs.listing import list_sources
from pipelines.stages.inputs.assign_buckets import assign_corpus
from pipelines.stages.inputs.list_inputs import write_listing
from pipelines.storage.lock import hold
from pipelines.storage.store import Store
from schemas.recipe import Recipe
from schemas.record import Record
from tests.benchmarks.made_up import RECIPE, cut_fast, probe, stub, write_manifests
from tests.support.servers.real_engine import SERVERS, commands, through

LOCAL: Final = "local"
ENGINES: Final = (LOCAL, "prism", "flink", "spark")
LOOK_EVERY_S: Final = 0.2
DRIVER: Final = "--driver"  # what the command says that is given to an engine
KINDS: Final = (  # of processes, and words of their commands
    ("driver", f"scale {DRIVER}"),
    *(pair for servers in SERVERS.values() for pair in servers.items()),
    ("Beam's worker", "SdkHarness"),
)


class Took(Record):
    """What the job took in the driver, in seconds, and what it did."""

    seconds: float
    again_s: float
    buckets: int
    ran: int


def main() -> None:
    """Make the corpora, run the engines, print the table."""
    parser = argparse.ArgumentParser(description="Many small clips through an engine.")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--clips", type=int, default=50_000)
    parser.add_argument("--bucket", type=int, action="append")
    parser.add_argument("--engine", action="append", choices=ENGINES)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument(DRIVER, help=argparse.SUPPRESS)
    parser.add_argument("--runner", default=LOCAL, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--beam", action="append", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.driver:
        engine = engine_of(given.workers, given.runner, given.beam)
        Path(given.driver, "took.json").write_text(_driven(Path(given.driver), engine))
        return
    print(
        "| engine | clips a bucket | buckets | s | ms a bucket | nothing to do, s | MiB, largest |"
    )
    print("|---|---:|---:|---:|---:|---:|---|")
    for size in given.bucket or (16, 128):
        for name in given.engine or ENGINES:
            work = given.out.resolve() / f"{size}-{name}"
            _make(work, given.clips, size)
            memory = _run(work, name, given.slots)
            took = Took.model_validate_json((work / "took.json").read_text())
            print(_row(name, size, took, memory), flush=True)


def _recipe(size: int) -> Recipe:
    return RECIPE.replaced(ingest=RECIPE.ingest.replaced(bucket_clips=size))


def _make(work: Path, clips: int, size: int) -> None:
    """A made-up corpus up to its buckets."""
    store, recipe = Store(str(work / "out")), _recipe(size)
    write_manifests(work / "in", 0, clips, 1)
    manifests = [str(path) for path in (work / "in").iterdir()]
    write_listing(store, list_sources(manifests, store, recipe), recipe)
    slices = read_listing(store)
    for name in slices:
        probe(store.url, name)
        cut_fast(store.url, name)
    plan = assign_corpus(store, slices, recipe)
    (work / "plan.json").write_text(json.dumps({"size": size, "buckets": len(plan.buckets)}))


def _run(work: Path, engine: str, slots: int) -> dict[str, float]:
    """Have a driver run the stages; returns the peak memory of each kind of process, in MiB."""
    command = [sys.executable, "-m", "tests.benchmarks.cluster.scale", DRIVER, str(work)]
    if engine == LOCAL:
        run = subprocess.Popen([*command, "--workers", str(2 * slots)])
    else:
        by_engine = through(engine, command, work / "logs", slots)
        run = subprocess.Popen(by_engine.command, env=by_engine.environment)
    peaks: dict[str, float] = {}
    while run.poll() is None:
        for kind, megabytes in _memory(psutil.Process(run.pid)):
            peaks[kind] = max(peaks.get(kind, 0.0), megabytes)
        time.sleep(LOOK_EVERY_S)
    if run.returncode:
        raise SystemExit(f"{engine} ended with status {run.returncode}; see {work / 'logs'}")
    return peaks


def _memory(run: psutil.Process) -> list[tuple[str, float]]:
    found = []
    for process, command in commands(run):
        kind = next((kind for kind, words in KINDS if words in command), "")
        if kind:
            with suppress(psutil.Error):  # it has just ended
                found.append((kind, process.memory_info().rss / 2**20))
    return found


def _driven(work: Path, engine: Engine) -> str:
    """Run the stages twice, the second time with nothing to do; returns what that took."""
    recipe = _recipe(json.loads((work / "plan.json").read_text())["size"])
    store = Store(str(work / "out"))
    names = [stage.name for stage in order_of(recipe)]
    [_chain] = chains_of(names, recipe)  # as a build takes them: in one job
    stages = [stub(stage) for stage in order_of(recipe)]
    with hold(store, "scale"):
        seconds, reports = _timed(stages, store, recipe, engine)
        again_s, _ = _timed(stages, store, recipe, engine)
    took = Took(seconds=seconds, again_s=again_s, buckets=reports[0].buckets, ran=reports[-1].run)
    return took.model_dump_json()


def _timed(
    stages: Sequence[Stage], store: Store, recipe: Recipe, engine: Engine
) -> tuple[float, list[StepReport]]:
    began = time.perf_counter()
    reports = run_stages(stages, store, recipe, engine, new_run(), lambda _: None)
    return time.perf_counter() - began, reports


def _row(engine: str, size: int, took: Took, memory: dict[str, float]) -> str:
    if took.ran != took.buckets:
        raise SystemExit(f"{engine}: {took.ran} of {took.buckets} buckets were run")
    told = ", ".join(f"{kind} {megabytes:.0f}" for kind, megabytes in memory.items())
    each = 1e3 * took.seconds / took.buckets
    cells = (engine, size, f"{took.buckets:,}", f"{took.seconds:.1f}", f"{each:.1f}")
    return "| " + " | ".join(map(str, (*cells, f"{took.again_s:.1f}", told))) + " |"


if __name__ == "__main__":
    main()
