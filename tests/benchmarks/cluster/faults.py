"""A real engine, broken while a worker is in the middle of a bucket: what its user reads, and what
becomes of the build.

    python -m tests.benchmarks.cluster.faults flink|spark|prism --out FOLDER [--fault NAME …]

A build of six tones goes through `infra/cluster/run.sh` (which says what each engine needs). Its
annotator waits until the fault has been dealt; `nothing` is the run that the others are compared
with. Where the build ends without its corpus, the same command is given once more. Printed, as a
Markdown table: what was said after the fault, the status, seconds from the fault to the end beside
those of `nothing`, finished steps of buckets that were done again, whether all files equal a local
build's, and processes left behind.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from flows.build.recipe_files import recipe_toml
from tests.support.building import digests
from tests.support.servers.real_engine import SERVERS, commands, through
from tests.support.tone_corpus import PATIENT, Corpus
from tests.support.waiting import until

FROZEN_S: Final = 60.0
LIMIT_S: Final = 420.0  # for a build to end
POOL: Final = "pipelines.beam.worker_pool"


class Attempt(NamedTuple):
    """How one run of the command ended."""

    status: int
    said: str  # since the fault
    seconds: float  # since the fault
    left: int  # processes
    finished: dict[str, str]  # before the fault, as `_finished` has it


class Trial(NamedTuple):
    """What an engine is tried with."""

    engine: str
    tones: Corpus
    recipe: Path
    folder: Path


def main() -> None:
    """Deal the faults, and print the table."""
    parser = argparse.ArgumentParser(description="An engine, broken while it works.")
    parser.add_argument("engine", choices=sorted(SERVERS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fault", action="append")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell put us behind
    given.out.mkdir(parents=True, exist_ok=True)
    tones = Corpus(Path(tempfile.mkdtemp(dir=given.out)), songs=6)
    recipe = given.out / "recipe.toml"
    recipe.write_text(recipe_toml(PATIENT, comments=False))
    go = Path(os.environ.setdefault("OBBLIGATO_TEST_GO", str(given.out / "local.go")))
    go.touch()
    tones.build(PATIENT)
    faults = _faults(given.engine)
    print(f"| {given.engine}: broken | said | status | s | done again | equal | left |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name in given.fault or faults:
        folder = given.out / given.engine / re.sub(r"\W+", "-", name)
        folder.mkdir(parents=True, exist_ok=True)
        print(_row(name, Trial(given.engine, tones, recipe, folder), faults[name]), flush=True)


def _faults(engine: str) -> dict[str, Callable[[psutil.Process], None]]:
    named = {f"{name} killed": _killer(words) for name, words in SERVERS[engine].items()}
    return {
        "nothing": lambda _: None,
        "worker killed": lambda run: _worker(run).kill(),
        f"worker frozen for {FROZEN_S:g} s": _freeze,
        "pool killed": _killer(POOL),
        **named,
        "driver killed": _killer("flows.cli build"),
        "Ctrl-C": lambda run: os.killpg(run.pid, signal.SIGINT),
    }


def _killer(words: str) -> Callable[[psutil.Process], None]:
    def kill(run: psutil.Process) -> None:
        _called(run, words)[0].kill()

    return kill


def _called(run: psutil.Process, words: str) -> list[psutil.Process]:
    """Processes of a run by words of their command."""
    return [one for one, command in commands(run) if words in command]


def _worker(run: psutil.Process) -> psutil.Process:
    """Beam's worker whose annotator waits: the child of a pool that the busiest process below the
    pools is, or stems from.
    """
    pools = _called(run, POOL)
    below = [child for pool in pools for child in pool.children(recursive=True)]
    busiest = max(below, key=lambda one: one.cpu_times().user)
    return next(one for one in (busiest, *busiest.parents()) if one.parent() in pools)


def _freeze(run: psutil.Process) -> None:
    worker = _worker(run)
    worker.suspend()
    time.sleep(FROZEN_S)
    worker.resume()


def _row(name: str, trial: Trial, fault: Callable[[psutil.Process], None]) -> str:
    out = trial.folder / "out"
    first = _attempt(trial, out, "first", fault)
    if first.status:
        _attempt(trial, out, "again", lambda _: None)
    done, before = _finished(out), first.finished
    expected, found = digests(trial.tones.out), digests(out)
    same = sum(found.get(file) == digest for file, digest in expected.items())
    again = sum(done.get(file, before[file]) != before[file] for file in before)
    cells = (name, first.said, first.status, f"{first.seconds:.0f}", again)
    return "| " + " | ".join(map(str, (*cells, f"{same} of {len(expected)}", first.left))) + " |"


def _attempt(
    trial: Trial, out: Path, name: str, fault: Callable[[psutil.Process], None]
) -> Attempt:
    go, log = trial.folder / f"{name}.go", trial.folder / f"{name}.log"
    command = [sys.executable, "-m", "flows.cli", "build", str(trial.tones.folder / "songs.csv")]
    command += ["--out", str(out), "--recipe", str(trial.recipe)]
    by_engine = through(trial.engine, command, trial.folder / f"{name}-servers")
    with log.open("w") as said:
        run = subprocess.Popen(
            by_engine.command,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**by_engine.environment, "OBBLIGATO_TEST_GO": str(go)},
        )
    every = psutil.Process(run.pid)
    reached = go.with_suffix(".reached")
    until(lambda: reached.exists() or run.poll() is not None, "bucket in work", 300, pause_s=0.5)
    before = log.stat().st_size
    finished = _finished(out)
    processes = every.children(recursive=True) if run.poll() is None else []
    began = time.monotonic()
    if run.poll() is None:
        fault(every)
    go.touch()
    try:
        run.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGTERM)
        run.wait(60)
    seconds = time.monotonic() - began
    _, alive = psutil.wait_procs(processes, timeout=20)
    said_after = log.read_bytes()[before:].decode(errors="replace")
    return Attempt(run.returncode, _one_line(said_after), seconds, len(alive), finished)


def _finished(out: Path) -> dict[str, str]:
    """Marks of finished steps of buckets, and when each was written."""
    marks = out.rglob("*-*.done.json") if out.exists() else ()
    return {str(mark.relative_to(out)): str(mark.stat().st_mtime_ns) for mark in marks}


def _one_line(said: str) -> str:
    """What was said, without what every build says: how far its steps are, and its summary."""
    lines = [
        line.split("\r")[-1].strip()
        for line in said.split("split  samples", maxsplit=1)[0].splitlines()
    ]
    told = [line for line in lines if line and not re.fullmatch(r"\w+: \d+( of \d+.*)?", line)]
    return "; ".join(told).replace("|", "¦") or "nothing"


if __name__ == "__main__":
    main()
