"""A chain of stages over all their units: which wait, the progress meanwhile, and the reports at
the end.

Each unit goes through the whole chain, whatever the others do.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

from flows.build.order import DIVIDING, STEPS
from flows.errors import UsageError
from pipelines.beam.options import LOCAL, Engine
from pipelines.build import plans
from pipelines.build.corrections import looked_up
from pipelines.build.outputs import Job
from pipelines.build.tables import MARKER
from pipelines.engine import bucket
from pipelines.engine.bucket import at_stage
from pipelines.engine.pool import BucketRun, balanced, exchange_here, run_here, write_rows
from pipelines.engine.stage import (
    RunAll,
    Stage,
    Step,
    fingerprints,
    finished,
    finished_stages,
)
from pipelines.errors import PipelineError, TransientError
from pipelines.storage.arrow import side_by_side
from pipelines.storage.lock import Lock
from pipelines.storage.store import Store
from schemas.counts import Counts, added
from schemas.recipe import Recipe

_POLL_S: Final = 10.0  # between two looks at what workers elsewhere have finished


class StepProgress(NamedTuple):
    """What a build reports while it runs: the step, work done and in all (inputs, or clips)."""

    step: str
    done: int
    total: int


class StepReport(NamedTuple):
    """What a step did: its counts, buckets in all and run now, and how long that took.

    `seconds` are of the clock, `work_s` those of the stage's own work.
    """

    step: str
    counts: dict[str, Any]
    buckets: int = 0
    run: int = 0
    seconds: float = 0.0
    work_s: float = 0.0
    told: dict[str, Any] | None = None  # what a run reports beside counts, such as money


class UnitShare(NamedTuple):
    """A share of a stage's units: the first of four, say."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "UnitShare":
        """The share that a command line names, such as ``1/4``."""
        number, _, of = text.partition("/")
        if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise UsageError(f"{text!r} is not a share: expected one such as 1/4")
        return cls(int(number), int(of))


WHOLE: Final = UnitShare(1, 1)
Watch = Callable[[StepProgress], None]


def watched(watch: Watch, lock: Lock) -> Watch:
    """The same, checking the lock now and then: a run that has lost it must not finish a stage."""

    def check(state: StepProgress) -> None:
        lock.glance()
        watch(state)

    return check


def sizes_of(stage: Stage, store: Store) -> dict[str, int]:
    """Units of a stage and their sizes: slices in inputs or texts, or buckets in clips.

    Raises `PipelineError` before they are known.
    """
    try:
        return plans.sizes_of(stage.partition, store)
    except FileNotFoundError as error:
        before = DIVIDING[stage.partition].name
        raise PipelineError(
            f"{store.url}: step {stage.name} needs step {before}, "
            "which is not done; run `obbligato build`"
        ) from error


def chains_of(steps: Sequence[str], recipe: Recipe) -> tuple[tuple[str, ...], ...]:
    """Steps in rows that are taken together: stages of one partition, each of which looks at its
    own unit alone.

    >>> chains_of(("probe", "cut", "assign_buckets", "annotate", "filter"), Recipe())
    (('probe', 'cut'), ('assign_buckets',), ('annotate', 'filter'))
    """
    chains: list[tuple[str, ...]] = []
    for name in steps:
        if chains and _links(STEPS[chains[-1][-1]], STEPS[name], recipe):
            chains[-1] = (*chains[-1], name)
        else:
            chains.append((name,))
    return tuple(chains)


def _links(before: Step, step: Step, recipe: Recipe) -> bool:
    """Whether a unit may go from one step to the next without waiting for others."""
    return (
        isinstance(before, Stage)
        and isinstance(step, Stage)
        and before.partition is step.partition
        and not before.is_whole(recipe)
        and not step.is_whole(recipe)
    )


def run_stages(
    stages: Sequence[Stage],
    store: Store,
    recipe: Recipe,
    engine: Engine,
    run_folder: str,
    watch: Watch,
    share: UnitShare = WHOLE,
) -> list[StepReport]:
    """Run a chain of stages over all their units, or a share of them, that are not done.

    Raises `PipelineError` where some stay unfinished.
    """
    first = stages[0]
    if share != WHOLE and first.is_whole(recipe):
        raise UsageError(f"step {first.name} does all buckets at once: take it without --share")
    work = StageWork(
        stages=stages,
        store=store,
        recipe=recipe,
        engine=engine,
        sizes=_shared_out(sizes_of(first, store), share),
        folder=run_folder if share == WHOLE else f"{run_folder}/{share.number}-of-{share.of}",
        watch=watch,
    )
    run_all = first.run_all(recipe)
    if run_all is not None:
        return [_run_together(work, run_all)]
    return _run_by_unit(work) if first.shuffle is None else [_run_shuffled(work)]


@dataclass(frozen=True, kw_only=True)
class StageWork:
    """A chain of stages of a build that is to be run: over which units, by what, and who watches.

    A stage that does all units at once is a chain by itself.
    """

    stages: Sequence[Stage]
    store: Store
    recipe: Recipe
    engine: Engine
    sizes: Mapping[str, int]  # of their units: slices in inputs or texts, buckets in clips
    folder: str  # of the run's reports, in the store
    watch: Watch

    @property
    def stage(self) -> Stage:
        """The first stage."""
        return self.stages[0]

    @property
    def names(self) -> list[str]:
        """The names of the stages."""
        return [stage.name for stage in self.stages]

    def jobs(self, names: Iterable[str]) -> list[Job]:
        """The jobs of units."""
        return [self._of_any._replace(bucket=name) for name in names]

    @cached_property
    def _of_any(self) -> Job:
        return looked_up(self.store, self.recipe)

    @property
    def is_local(self) -> bool:
        """Whether processes of this machine do it."""
        return self.engine.runner == LOCAL


def _shared_out(sizes: Mapping[str, int], share: UnitShare) -> dict[str, int]:
    """Units of a share, with their sizes."""
    names = balanced(sizes, share.of)[share.number - 1]
    return {name: sizes[name] for name in names}


def _run_by_unit(work: StageWork) -> list[StepReport]:
    """Run stages whose units are independent: what is done is left out.

    On an object store every look costs a request: there the workers look, side by side.
    """
    is_local = work.store.is_local
    standing = {
        job.bucket: finished_stages(work.stages, job) if is_local else []
        for job in work.jobs(work.sizes)
    }
    waiting = {
        stage.name: {name: work.sizes[name] for name, done in standing.items() if len(done) <= at}
        for at, stage in enumerate(work.stages)
    }
    rows = _run_waiting(work, waiting, "")
    done = {
        stage.name: [counts[at] for counts in standing.values() if at < len(counts)]
        for at, stage in enumerate(work.stages)
    }
    return _reported(work, done, rows)


def _run_shuffled(work: StageWork) -> StepReport:
    """Run a stage whose units exchange what they hold: all anew, or none where all are done."""
    stage, jobs = work.stage, work.jobs(work.sizes)
    whole = next(fingerprints(stage, jobs))
    done = side_by_side(lambda job: finished(stage, job, whole), jobs)
    known = [counts for counts in done if counts is not None]
    if len(known) == len(jobs):
        rows = _run_waiting(work, {stage.name: {}}, whole)
    else:  # what one holds may change what is given to any other
        rows, known = _run_waiting(work, {stage.name: work.sizes}, whole), []
    [report] = _reported(work, {stage.name: known}, rows)
    return report


def _run_together(work: StageWork, run_all: RunAll) -> StepReport:
    """Have this process do all buckets of a stage that no other may share."""
    began = time.perf_counter()
    waiting = {work.stage.name: work.sizes}
    with _progress_reported(replace(work, engine=Engine(1)), waiting), at_stage(work.stage.name):
        made = run_all(work.stage, work.jobs(work.sizes))
    if made.details:
        work.store.write_json(f"{work.folder}/{work.stage.name}.told.json", made.details)
    counts = added([row.counts for row in made.buckets])
    ran = sum(row.ran for row in made.buckets)
    work_s = round(time.perf_counter() - began, 3)
    return StepReport(
        work.stage.name, counts, len(work.sizes), ran, work_s=work_s, told=made.details
    )


def _reported(
    work: StageWork, done: Mapping[str, Sequence[Counts]], rows: Sequence[BucketRun]
) -> list[StepReport]:
    """The reports of stages of which some units were done before, and others now."""
    reports = []
    for name in work.names:
        own = [row for row in rows if row.stage == name]
        counts = added([*filter(None, done[name]), *(row.counts for row in own)])
        ran, work_s = sum(row.ran for row in own), round(sum(row.work_s for row in own), 3)
        reports.append(StepReport(name, counts, len(work.sizes), ran, work_s=work_s))
    return reports


Waiting = Mapping[str, Mapping[str, int]]  # by stage: units that are not done, with their sizes


def _run_waiting(work: StageWork, waiting: Waiting, whole: str) -> list[BucketRun]:
    """Have the engine do units, the largest first, and publish what became of each.

    Raises `TransientError` where some stay unfinished.
    """
    units = waiting[work.stages[-1].name]  # who waits for a stage waits for those behind it
    with _progress_reported(work, waiting):
        if not units:
            return []
        rows = _run_by_engine(work, units, whole)
        unfinished = [row for row in rows if row.unfinished]
        if unfinished:
            first = unfinished[0]
            raise TransientError(
                f"stage {first.stage}: {len(unfinished)} of {len(work.sizes)} buckets are "
                f"unfinished, {first.bucket} first: {first.unfinished}"
            )
    return rows


def _run_by_engine(work: StageWork, units: Mapping[str, int], whole: str) -> list[BucketRun]:
    if not work.is_local:
        from pipelines.beam.run import run_buckets

        return run_buckets(
            work.stages, work.store, work.recipe, units, work.folder, work.engine, whole
        )
    [order] = balanced(units, 1)
    jobs, workers = work.jobs(order), work.engine.workers
    rows = (
        run_here(work.stages, jobs, workers)
        if work.stage.shuffle is None
        else exchange_here(work.stage, jobs, workers, whole)
    )
    write_rows(work.store, work.folder, work.names, rows)
    return rows


class StageProgress:
    """How far the stages of a chain are."""

    def __init__(self, work: StageWork, waiting: Waiting) -> None:
        self._watch, self._total = work.watch, sum(work.sizes.values())
        self._done = {name: self._total - sum(waiting[name].values()) for name in work.names}

    def count(self, stage: str, number: int) -> None:
        """Count so many more as done, and report it."""
        self._done[stage] += number
        self._watch(StepProgress(stage, min(self._done[stage], self._total), self._total))

    def complete(self) -> None:
        """Report that all is done."""
        for stage, done in self._done.items():
            self.count(stage, self._total - done)


@contextmanager
def _progress_reported(work: StageWork, waiting: Waiting) -> Iterator[None]:
    """Report how far stages are while the block lasts, and at its end that all is done."""
    progress = StageProgress(work, waiting)
    for name in work.names:
        progress.count(name, 0)
    with _counted_here(progress) if work.is_local else _counted_elsewhere(work, waiting, progress):
        yield
    progress.complete()


@contextmanager
def _counted_here(progress: StageProgress) -> Iterator[None]:
    bucket.listen(progress.count)
    try:
        yield
    finally:
        bucket.listen(None)


@contextmanager
def _counted_elsewhere(
    work: StageWork, waiting: Waiting, progress: StageProgress
) -> Iterator[None]:
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        polls = pool.submit(_poll_markers, work, waiting, progress, ended)
        try:
            yield
        finally:
            ended.set()
        polls.result()  # a lock that was lost is raised here


def _poll_markers(
    work: StageWork, waiting: Waiting, progress: StageProgress, ended: threading.Event
) -> None:
    """Count buckets that workers elsewhere finish, by their markers.

    One whose old marker still stands counts once it has gone.
    """
    left = {name: dict(units) for name, units in waiting.items()}
    stale = {
        stage.name: _marked(stage, work.store) & left[stage.name].keys() for stage in work.stages
    }
    while not ended.wait(_POLL_S):
        for stage in work.stages:
            name, marked = stage.name, _marked(stage, work.store)
            stale[name] &= marked
            for unit in (marked & left[name].keys()) - stale[name]:
                progress.count(name, left[name].pop(unit))


def _marked(stage: Stage, store: Store) -> set[str]:
    return {
        name.removesuffix(MARKER) for name in store.names(stage.folder) if name.endswith(MARKER)
    }
