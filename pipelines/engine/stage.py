"""What a stage is, and how one bucket of it is done: skipped where its marker matches, else run and
marked last.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ConfigDict

from pipelines.engine.child_process import WAITED
from pipelines.errors import Damaged, PipelineError
from pipelines.storage.store import Published, Store
from schemas.counts import Counts
from schemas.recipe import Recipe
from schemas.record import Record
from schemas.shard import Count, Sha256

MARKER: Final = ".done.json"
_TAKES_OVER: Final = {"shards": "variants"}  # folders that hold what another has dropped


class Job(NamedTuple):
    """One bucket of one build. A reference: small, and the same on every worker."""

    out: str  # the build's folder, a URL
    bucket: str
    recipe: Recipe

    @property
    def store(self) -> Store:
        """The build's folder."""
        return Store(self.out)


class Done(NamedTuple):
    """What a stage did with a bucket: files published, and counts by name."""

    files: list[Published]
    counts: Counts


class Summary(NamedTuple):
    """One bucket's report: whether it was run or skipped, its counts, and the seconds of the
    stage's own work.
    """

    bucket: str
    ran: bool
    counts: Counts
    work_s: float = 0.0


class Together(NamedTuple):
    """What one process did with all buckets: a report of each, and what a run tells beside counts,
    such as money.
    """

    buckets: list[Summary]
    told: dict[str, Any]


class Exchange(NamedTuple):
    """How all buckets tell each other what they hold.

    `emit` gives values under keys; `meet` sees the values of all buckets under one key and gives
    rows to buckets; `receive` writes what a bucket was given. Values and rows are plain data; they
    come in any order.
    """

    emit: "Callable[[Job], Iterator[tuple[Any, Any]]]"
    meet: Callable[[Recipe, Any, list[Any]], Iterator[tuple[str, Any]]]
    receive: "Callable[[Job, list[Any]], Done]"


class Stage(NamedTuple):
    """A stage over buckets, as data. `version` is raised when our code changes its output."""

    name: str
    folder: str
    version: int
    # what of the recipe changes its output: a section, or one knob as section.key
    sections: tuple[str, ...]
    needs: tuple[str, ...]  # folders of the stages whose files it reads
    run: Callable[[Job], Done] | None
    tools: Callable[[Recipe], Mapping[str, str]] = lambda _recipe: {}  # versions of what it calls
    writes_too: tuple[str, ...] = ()  # folders beside its own that it writes to
    # what decides its output beside the recipe and its input files
    looks_at: Callable[[Job], Any] = lambda _job: None
    # where one process does all: how
    together: "Callable[[Recipe], Callable[[Stage, Sequence[Job]], Together] | None]" = (
        lambda _recipe: None
    )
    # whether a recipe wants it; else it is left out
    asked: Callable[[Recipe], bool] = lambda _recipe: True
    # folders that it reads for some recipes
    may_need: Callable[[Recipe], tuple[str, ...]] = lambda _recipe: ()
    exchange: Exchange | None = None  # where buckets must know of each other: how, instead of `run`

    def is_whole(self, recipe: Recipe) -> bool:
        """Whether all buckets are done at once, so that no share of them can be."""
        return self.exchange is not None or self.together(recipe) is not None

    def reads(self, recipe: Recipe) -> tuple[str, ...]:
        """Folders of the stages whose files it reads."""
        return (*self.needs, *self.may_need(recipe))


class _Facts(Record):
    """What a marker says of a file."""

    model_config = ConfigDict(extra="ignore")

    bytes: Count
    sha256: Sha256
    dropped: bool = False


class _Marker(Record):
    """The form of a marker."""

    model_config = ConfigDict(extra="ignore")

    fingerprint: str
    files: dict[str, _Facts]
    counts: Counts


def marker_name(folder: str, bucket: str) -> str:
    """File that says a bucket is done."""
    return f"{folder}/{bucket}{MARKER}"


def digest(value: Any) -> str:
    """Hash of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def fingerprint(stage: Stage, job: Job) -> str:
    """Hash of all that decides a bucket's output: recipe sections, versions, input files."""
    return _fingerprint(stage, job, _inputs(stage, job))


def fingerprints(stage: Stage, jobs: Sequence[Job]) -> Iterator[str]:
    """The fingerprint of each job; where buckets tell each other what they hold, all have the one
    of the whole corpus.
    """
    if stage.exchange is None:
        yield from (fingerprint(stage, job) for job in jobs)
    else:
        whole = _fingerprint(stage, jobs[0], {job.bucket: _inputs(stage, job) for job in jobs})
        yield from (whole for _ in jobs)


def _inputs(stage: Stage, job: Job) -> dict[str, dict[str, str]]:
    markers = {
        folder: read_marker(job.store, folder, job.bucket) for folder in stage.reads(job.recipe)
    }
    return {
        folder: {name: facts["sha256"] for name, facts in marker["files"].items()}
        for folder, marker in markers.items()
    }


def _fingerprint(stage: Stage, job: Job, inputs: Mapping[str, Any]) -> str:
    recipe = job.recipe.model_dump(mode="json")
    decisive = {
        "stage": stage.name,
        "version": stage.version,
        "recipe": {name: _knobs(recipe, name) for name in stage.sections}
        | {"seed": recipe["corpus"]["seed"]},
        "tools": dict(stage.tools(job.recipe)),
        "inputs": inputs,
    }
    if (seen := stage.looks_at(job)) is not None:
        decisive["seen"] = seen
    return digest(decisive)


def _knobs(recipe: Mapping[str, Any], name: str) -> Any:
    section, _, key = name.partition(".")
    return recipe[section][key] if key else recipe[section]


def missing_inputs(stage: Stage, job: Job) -> bool:
    """Whether a bucket's earlier stages are not done."""
    return any(
        not job.store.exists(marker_name(folder, job.bucket)) for folder in stage.reads(job.recipe)
    )


def finished(stage: Stage, job: Job, expected: str) -> dict[str, int] | None:
    """Counts of a bucket whose marker matches and whose files are whole, else none."""
    marker = whole_marker(job.store, stage.folder, job.bucket)
    return (
        dict(marker["counts"]) if marker is not None and marker["fingerprint"] == expected else None
    )


def whole_marker(store: Store, folder: str, bucket: str) -> dict[str, Any] | None:
    """A bucket's marker, where it stands whole and every file it names is there in its full size,
    or was dropped on purpose.
    """
    try:
        marker = read_marker(store, folder, bucket)
    except (FileNotFoundError, Damaged):
        return None
    whole = all(
        facts.get("dropped") or store.size(file) == facts["bytes"]
        for file, facts in marker["files"].items()
    )
    return marker if whole else None


def read_marker(store: Store, folder: str, bucket: str) -> dict[str, Any]:
    """A bucket's marker: fingerprint, files with bytes and SHA-256, counts.

    Raises `Damaged`, and `FileNotFoundError` where none is.
    """
    return store.read_stated(marker_name(folder, bucket), _Marker)


class Altered(NamedTuple):
    """A file that is not what was written, and what is wrong with it."""

    file: str
    wrong: str

    def __str__(self) -> str:
        """One line for the reader."""
        return f"{self.file} {self.wrong}"


def altered_files(store: Store, folder: str, bucket: str) -> Iterator[Altered]:
    """Files of a bucket that are not what its marker says was written.

    Raises `Damaged` where the marker is not.
    """
    for name, facts in read_marker(store, folder, bucket)["files"].items():
        if facts.get("dropped"):
            continue
        size = store.size(name)
        if size is None:
            yield Altered(name, "is missing")
        elif size != facts["bytes"]:
            yield Altered(name, f"has {size} bytes, of {facts['bytes']} that were written")
        elif store.sha256(name) != facts["sha256"]:
            yield Altered(name, "is not what was written: its SHA-256 has changed")


def check_inputs(stage: Stage, job: Job) -> None:
    """Raise `Damaged` where a file that a bucket's work reads is not the one that was written; the
    next run makes it anew.
    """
    for folder in stage.reads(job.recipe):
        check_files(job.store, folder, job.bucket)


def check_files(store: Store, folder: str, bucket: str) -> None:
    """Raise `Damaged` where a bucket's file is not what was written; the next run makes it anew."""
    altered = next(altered_files(store, folder, bucket), None)
    if altered is not None:
        forget(store, folder, bucket)
        raise Damaged(f"{altered}; run again, and it is made anew")


def read_checked(store: Store, folder: str, bucket: str, name: str) -> bytes:
    """A small file of a bucket, read once.

    Raises `Damaged` where it is not what its marker says was written.
    """
    content = store.read_bytes(name)
    facts = read_marker(store, folder, bucket)["files"].get(name, {})
    if hashlib.sha256(content).hexdigest() != facts.get("sha256"):
        forget(store, folder, bucket)
        raise Damaged(
            f"{name} is not what was written: "
            "its SHA-256 has changed; run again, and it is made anew"
        )
    return content


def forget(store: Store, folder: str, bucket: str) -> None:
    """Make the next run do a bucket of a stage again, and first the one whose files only that
    bucket still held.
    """
    store.delete(marker_name(folder, bucket))
    before = _TAKES_OVER.get(folder)
    if before is None:
        return
    with suppress(FileNotFoundError, Damaged):
        if any(
            facts.get("dropped") for facts in read_marker(store, before, bucket)["files"].values()
        ):
            store.delete(marker_name(before, bucket))


def run_bucket(stage: Stage, job: Job) -> Summary:
    """Do one bucket of a stage, or skip it where nothing that decides its output has changed."""
    expected = fingerprint(stage, job)
    counts = finished(stage, job, expected)
    if counts is not None:
        return Summary(job.bucket, ran=False, counts=counts)
    if stage.run is None:
        raise PipelineError(f"stage {stage.name} needs all buckets at once")
    return do_bucket(stage, job, expected, stage.run)


def do_bucket(stage: Stage, job: Job, expected: str, work: Callable[[Job], Done]) -> Summary:
    """Do a bucket's work, whatever stood there before, and mark it last."""
    begin_bucket(stage, job)
    began, waited_s = time.perf_counter(), WAITED.seconds
    done = work(job)
    work_s = time.perf_counter() - began - (WAITED.seconds - waited_s)
    write_marker(stage.folder, job, expected, done)
    return Summary(job.bucket, ran=True, counts=done.counts, work_s=round(work_s, 3))


def begin_bucket(stage: Stage, job: Job) -> None:
    """Check what a bucket's work reads; take its marker away before anything of it changes, and
    what a killed run left of it.
    """
    check_inputs(stage, job)
    job.store.delete(marker_name(stage.folder, job.bucket))
    for folder in (stage.folder, *stage.writes_too):
        job.store.sweep(folder, job.bucket)


def write_marker(folder: str, job: Job, expected: str, done: Done) -> None:
    """Say that a bucket is done: always the last file written."""
    files = {file.name: {"bytes": file.bytes, "sha256": file.sha256} for file in done.files}
    marker = {
        "fingerprint": expected,
        "files": files,
        "counts": done.counts,
        "cpu": cpu_capability(),
    }
    job.store.write_sealed(marker_name(folder, job.bucket), marker)


def publish_marked(folder: str, job: Job, file: str, content: bytes, counts: Counts) -> str:
    """Publish a file and its marker unless the same content stands there already; returns the
    fingerprint, its hash.
    """
    mark = hashlib.sha256(content).hexdigest()
    if marked_fingerprint(job.store, folder, job.bucket) != mark:
        job.store.delete(marker_name(folder, job.bucket))
        write_marker(
            folder, job, mark, Done([job.store.write_bytes(f"{folder}/{file}", content)], counts)
        )
    return mark


def marked_fingerprint(store: Store, folder: str, bucket: str) -> str:
    """Fingerprint of a bucket whose files are there, else empty."""
    marker = whole_marker(store, folder, bucket)
    return str(marker["fingerprint"]) if marker is not None else ""


def remove_others(store: Store, folder: str, kept: set[str]) -> None:
    """Remove files of buckets that are no longer in force."""
    for name in store.names(folder):
        if name.split(".", 1)[0] not in kept:
            store.delete(f"{folder}/{name}")


def drop_file(job: Job, folder: str, name: str) -> None:
    """Remove a file that a later stage has taken over; its marker remembers what it was."""
    marker = read_marker(job.store, folder, job.bucket)
    marker["files"][name]["dropped"] = True
    job.store.write_sealed(marker_name(folder, job.bucket), marker)
    job.store.delete(name)


@lru_cache(maxsize=1)
def cpu_capability() -> str:
    """Vector instructions of this machine, on which the last bits of floats may depend.

    Recorded, never matched.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return platform.machine()
    best = next(
        (name for name in ("avx512f", "avx2", "avx", "sse4_2") if name in flags), "baseline"
    )
    return f"{platform.machine()} {best}"
