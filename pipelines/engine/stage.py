"""What a step is, and how one bucket of a stage is done: skipped where its marker matches, else run
and marked last.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipelines.build.markers import (
    BucketMarkers,
    Done,
    check_files,
    marker_name,
    write_marker,
)
from pipelines.build.outputs import Job, Output, Partition
from pipelines.engine.child_process import WAITED
from pipelines.errors import PipelineError
from pipelines.storage.store import Store, digest
from schemas.build import Marker
from schemas.counts import Counts
from schemas.recipe import Recipe


class Summary(NamedTuple):
    """One bucket's report: whether it was run or skipped, its counts, and the seconds of the
    stage's own work.
    """

    bucket: str
    ran: bool
    counts: Counts
    work_s: float = 0.0


class Together(NamedTuple):
    """What one process did with all buckets: a report of each, and what a run reports beside
    counts, such as money.
    """

    buckets: list[Summary]
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shuffle:
    """How all buckets exchange what they hold.

    `emit` gives values under keys; `reduce` sees the values of all buckets under one key and gives
    rows to buckets; `receive` writes what a bucket was given. Values and rows are plain data; they
    come in any order.
    """

    emit: Callable[[Job], Iterator[tuple[Any, Any]]]
    reduce: Callable[[Recipe, Any, list[Any]], Iterator[tuple[str, Any]]]
    receive: Callable[[Job, list[Any]], Done]


RunAll = Callable[["Stage", Sequence[Job]], Together]


def _nothing(_recipe: Recipe) -> tuple[()]:
    return ()


def _no_tools(_recipe: Recipe) -> Mapping[str, str]:
    return {}


def _always(_recipe: Recipe) -> bool:
    return True


def _nothing_more(_job: Job) -> None:
    return None


def _one_by_one(_recipe: Recipe) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A step that does one bucket, or slice, after the other.

    What it writes stands in folders of one partition; the first has its markers.

    A bucket is done again where its fingerprint differs: of the stage's name and version, of the
    knobs, tools and files that decide what it writes, and of `extra_fingerprint`.
    """

    name: str
    version: int  # raised when our code changes its output
    writes: tuple[Output, ...]
    reads: tuple[Output, ...] = ()
    # what it reads for some recipes
    optional_reads: Callable[[Recipe], tuple[Output, ...]] = _nothing
    # what of the recipe changes its output: a section, or one knob as section.key
    knobs: tuple[str, ...] = ()
    run: Callable[[Job], Done] | None = None
    run_all: Callable[[Recipe], RunAll | None] = _one_by_one  # where one process does all: how
    shuffle: Shuffle | None = None  # where buckets must know of each other: how, instead of `run`
    enabled: Callable[[Recipe], bool] = _always  # whether a recipe wants it; else it is left out
    tools: Callable[[Recipe], Mapping[str, str]] = _no_tools  # versions of what it calls
    extra_fingerprint: Callable[[Job], Any] = _nothing_more

    def __post_init__(self) -> None:
        """Refuse a stage that names a knob which no recipe has."""
        for knob in self.knobs:
            section, _, key = knob.partition(".")
            field = Recipe.model_fields.get(section)
            if field is None or (key and key not in type(field.default).model_fields):
                raise ValueError(f"stage {self.name}: no recipe has a knob {knob}")

    @property
    def folder(self) -> str:
        """The folder with its markers."""
        return self.writes[0].folder

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders that it writes to."""
        return tuple(dict.fromkeys(output.folder for output in self.writes))

    @property
    def partition(self) -> Partition:
        """What it does one after the other."""
        return self.writes[0].partition

    def is_whole(self, recipe: Recipe) -> bool:
        """Whether all buckets are done at once, so that no share of them can be."""
        return self.shuffle is not None or self.run_all(recipe) is not None

    def read_folders(self, recipe: Recipe) -> tuple[str, ...]:
        """Folders whose files it reads by a recipe."""
        return tuple(
            dict.fromkeys(output.folder for output in (*self.reads, *self.optional_reads(recipe)))
        )


@dataclass(frozen=True, kw_only=True)
class BegunBuild:
    """A build that has begun: all that a step over the whole of it goes by."""

    store: Store
    sources: tuple[str, ...]
    recipe: Recipe
    stages: tuple[Stage, ...]  # over buckets, as the recipe wants them
    shrink: bool = False  # whether many songs may go


@dataclass(frozen=True, kw_only=True)
class CorpusStep:
    """A step that is taken once for the whole build.

    It finds out by itself whether anything has changed.
    """

    name: str
    run: Callable[[BegunBuild], dict[str, int]]  # returns counts
    writes: tuple[Output, ...] = ()
    divides: Partition | None = None  # what it divides the work of later steps into
    enabled: Callable[[Recipe], bool] = _always


Step = Stage | CorpusStep


def fingerprint(stage: Stage, job: Job) -> str:
    """Hash of all that decides a bucket's output: knobs, versions, and the input files' hashes."""
    return _fingerprint(stage, job, _inputs(stage, job, _markers(job)))


def _markers(job: Job) -> BucketMarkers:
    return BucketMarkers(job.store, job.bucket)


def fingerprints(stage: Stage, jobs: Sequence[Job]) -> Iterator[str]:
    """The fingerprint of each job.

    Where buckets exchange what they hold, all have the one of the whole corpus.
    """
    if stage.shuffle is None:
        yield from (fingerprint(stage, job) for job in jobs)
    else:
        inputs = {job.bucket: _inputs(stage, job, _markers(job)) for job in jobs}
        whole = _fingerprint(stage, jobs[0], inputs)
        yield from (whole for _ in jobs)


def _inputs(stage: Stage, job: Job, markers: BucketMarkers) -> dict[str, dict[str, str]]:
    return {folder: _hashes(markers.read(folder)) for folder in stage.read_folders(job.recipe)}


def _hashes(marker: Marker) -> dict[str, str]:
    return {name: facts.sha256 for name, facts in marker.files.items()}


def _fingerprint(stage: Stage, job: Job, inputs: Mapping[str, Any]) -> str:
    recipe = job.recipe.model_dump(mode="json")
    decisive = {
        "stage": stage.name,
        "version": stage.version,
        "recipe": {name: _knob(recipe, name) for name in stage.knobs}
        | {"seed": job.recipe.corpus.seed},
        "tools": dict(stage.tools(job.recipe)),
        "inputs": inputs,
    }
    if (seen := stage.extra_fingerprint(job)) is not None:
        decisive["seen"] = seen
    return digest(decisive)


def _knob(recipe: Mapping[str, Any], name: str) -> Any:
    section, _, key = name.partition(".")
    return recipe[section][key] if key else recipe[section]


def missing_inputs(stage: Stage, job: Job) -> bool:
    """Whether a bucket's earlier stages are not done."""
    return any(
        not job.store.exists(marker_name(folder, job.bucket))
        for folder in stage.read_folders(job.recipe)
    )


def finished(stage: Stage, job: Job, expected: str) -> Counts | None:
    """Counts of a bucket whose marker matches and whose files are whole, else none."""
    return _counts(stage, expected, _markers(job))


def finished_stages(stages: Sequence[Stage], job: Job) -> list[Counts]:
    """Counts of the stages at the head of a chain that have done a bucket."""
    markers = _markers(job)
    found: list[Counts] = []
    for stage in stages:
        expected = _fingerprint(stage, job, _inputs(stage, job, markers))
        counts = _counts(stage, expected, markers)
        if counts is None:
            break
        found.append(counts)
    return found


def _counts(stage: Stage, expected: str, markers: BucketMarkers) -> Counts | None:
    marker = markers.whole(stage.folder)
    return dict(marker.counts) if marker is not None and marker.fingerprint == expected else None


def check_inputs(stage: Stage, job: Job) -> None:
    """Raise `Damaged` where a file that a bucket's work reads is not the one that was written.

    The next run makes it anew.
    """
    for folder in stage.read_folders(job.recipe):
        check_files(job.store, folder, job.bucket)


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
    for folder in stage.folders:
        job.store.sweep(folder, job.bucket)
