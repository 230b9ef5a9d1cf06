"""One corpus on every engine: the same bytes, and what each takes.

    python -m tests.benchmarks.cluster.engines SOURCE… --out FOLDER
        [--engine local --engine prism --engine flink --engine spark --engine dask --engine s3]
        [--workers 2] [--set encode.codec=mel …]

`local` comes first: the others are held to it. Prism, Flink and Spark are started by
`infra/cluster/run.sh` (which says what each needs), with a task or a core for half of the workers
on each of two machines; Dask as a scheduler and workers of one thread; `s3` is a local build whose
output lies in a bucket of a server on this machine. Knobs of the recipe, such as a codec's or
vocabularies', are those of every build.

A digest is the hash of all files that the promise of equal bytes covers, names and contents.
Seconds are those of the command, for Prism, Flink and Spark with starting and ending their servers.
Each build is kept in FOLDER and not made again. Prints a Markdown table.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import boto3
from s3fs import S3FileSystem

from flows.build.recipe_files import recipe_toml
from schemas.recipe import Recipe
from schemas.record import Record
from tests.benchmarks.flow_overhead import timed
from tests.support.building import digests
from tests.support.servers.dask_cluster import cluster
from tests.support.servers.object_store import s3_server
from tests.support.servers.prefect_server import Server
from tests.support.servers.real_engine import through

LOCAL: Final = "local"
TASK: Final = [sys.executable, "-m", "flows.cli"]
BUCKET: Final = "engines"


class Job(NamedTuple):
    """What is built, and with how many workers."""

    sources: tuple[str, ...]
    workers: int
    folder: Path  # where an engine puts what is its own
    options: tuple[str, ...] = ()

    def build(self, out: str, *options: str) -> list[str]:
        """The command of a build."""
        return [*TASK, "build", *self.sources, "--out", out, *self.options, *options]


def with_recipe(source: Path, workers: int, folder: Path, recipe: Recipe) -> Job:
    """A job by a recipe of its own, which lies in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "recipe.toml"
    file.write_text(recipe_toml(recipe, comments=False))
    return Job((str(source),), workers, folder, ("--recipe", str(file)))


class Took(Record):
    """What a build took, in seconds."""

    seconds: float


def local(job: Job, out: Path) -> float:
    """A build on this machine."""
    return _timed(job.build(str(out), "--workers", str(job.workers)))


def clustered(engine: str, job: Job, out: Path) -> float:
    """A build through a real engine in a network namespace."""
    slots = max(1, job.workers // 2)
    command, environment = through(engine, job.build(str(out)), job.folder / "logs", slots)
    return timed(command, environment, quiet=False)


def on_dask(job: Job, out: Path) -> float:
    """A build in slices, on a scheduler and workers that were there before."""
    with ExitStack() as stack:
        server = Server(job.folder)
        stack.callback(server.stop)
        address, _ = stack.enter_context(cluster(job.folder, server.environment))
        slices = ["--slices", str(2 * job.workers), "--dask", address]
        return _timed(job.build(str(out), *slices), **server.environment)


def on_s3(job: Job, out: Path) -> float:
    """A local build into a bucket; what is in it is copied."""
    with s3_server(job.folder):
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        address = f"s3://{BUCKET}/corpus"
        took = _timed(job.build(address, "--workers", str(job.workers)))
        S3FileSystem().get(f"{BUCKET}/corpus", str(out), recursive=True)
    return took


ENGINES: Final[dict[str, Callable[[Job, Path], float]]] = {
    LOCAL: local,
    **{name: partial(clustered, name) for name in ("prism", "flink", "spark")},
    "dask": on_dask,
    "s3": on_s3,
}


def main() -> None:
    """Build, compare, and print the table."""
    parser = argparse.ArgumentParser(description="One corpus on every engine.")
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", action="append", choices=list(ENGINES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KNOB=VALUE")
    given = parser.parse_args()
    sources = tuple(str(Path(one).resolve()) for one in given.sources)
    options = tuple(part for knob in given.set for part in ("--set", knob))
    print("| engine | files | equal to local | digest | seconds | of local |")
    print("|---|---:|---:|---|---:|---:|")
    wanted = given.engine or list(ENGINES)
    first: tuple[dict[str, str], float] | None = None
    for name in [LOCAL, *(one for one in wanted if one != LOCAL)]:
        folder = given.out.resolve() / name
        folder.mkdir(parents=True, exist_ok=True)
        took = built(name, Job(sources, given.workers, folder, options))
        held = digests(folder / "corpus")
        first = first or (held, took)
        print(_row(name, held, took, *first), flush=True)


def built(name: str, job: Job, note: str = "took") -> float:
    """Build on an engine, unless that is done, which is noted; how many seconds it took."""
    done = job.folder / f"{note}.json"
    if not done.exists():
        took = ENGINES[name](job, job.folder / "corpus")
        done.write_text(Took(seconds=took).model_dump_json())
    return Took.model_validate_json(done.read_text()).seconds


def _timed(command: list[str], **environment: str) -> float:
    return timed(command, {**os.environ, **environment}, quiet=False)


def _row(
    name: str, held: dict[str, str], took: float, of_local: dict[str, str], local_s: float
) -> str:
    whole = hashlib.sha256(repr(sorted(held.items())).encode()).hexdigest()[:16]
    equal = sum(of_local.get(file) == digest for file, digest in held.items())
    cells = (name, len(held), f"{equal} of {len(of_local)}", f"`{whole}`", f"{took:.0f}")
    return "| " + " | ".join(map(str, (*cells, f"{took / local_s:.2f}"))) + " |"


if __name__ == "__main__":
    main()
