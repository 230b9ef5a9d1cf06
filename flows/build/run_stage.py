"""One stage over all its units: which wait, the progress meanwhile, and the report at the end."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from flows.build.order import DIVIDING
from flows.errors import UsageError
from pipelines.beam.options import LOCAL, Engine
from pipelines.build import plans
from pipelines.build.outputs import Job
from pipelines.build.tables import MARKER
from pipelines.engine import bucket
from pipelines.engine.pool import BucketRun, balanced, run_here
from pipelines.engine.stage import RunAll, Stage, fingerprint, fingerprints, finished
from pipelines.errors import PipelineError, TransientError
from pipelines.storage.arrow import side_by_side
from pipelines.storage.lock import Lock
from pipelines.storage.store import Store
from schemas.counts import added
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


def run_stage(
    stage: Stage,
    store: Store,
    recipe: Recipe,
    engine: Engine,
    run_folder: str,
    watch: Watch,
    share: UnitShare = WHOLE,
) -> StepReport:
    """Run a stage over all its units, or a share of them, that are not done.

    Raises `PipelineError` where some stay unfinished.
    """
    if not stage.enabled(recipe):
        return StepReport(stage.name, {})
    if share != WHOLE and stage.is_whole(recipe):
        raise UsageError(f"step {stage.name} does all buckets at once: take it without --share")
    work = StageWork(
        stage=stage,
        store=store,
        recipe=recipe,
        engine=engine,
        sizes=_shared_out(sizes_of(stage, store), share),
        folder=run_folder if share == WHOLE else f"{run_folder}/{share.number}-of-{share.of}",
        watch=watch,
    )
    run_all = stage.run_all(recipe)
    if run_all is not None:
        return _run_together(work, run_all)
    return _run_by_unit(work) if stage.shuffle is None else _run_shuffled(work)


@dataclass(frozen=True, kw_only=True)
class StageWork:
    """A stage of a build that is to be run: over which units, by what, and who watches."""

    stage: Stage
    store: Store
    recipe: Recipe
    engine: Engine
    sizes: Mapping[str, int]  # of its units: slices in inputs or texts, buckets in clips
    folder: str  # of the run's report, in the store
    watch: Watch

    def jobs(self, names: Iterable[str]) -> list[Job]:
        """The jobs of units."""
        return [Job(self.store.url, name, self.recipe) for name in names]

    @property
    def is_local(self) -> bool:
        """Whether processes of this machine do it."""
        return self.engine.runner == LOCAL


def _shared_out(sizes: Mapping[str, int], share: UnitShare) -> dict[str, int]:
    """Units of a share, with their sizes."""
    names = balanced(sizes, share.of)[share.number - 1]
    return {name: sizes[name] for name in names}


def _run_by_unit(work: StageWork) -> StepReport:
    """Run a stage whose units are independent: those that are done are left out.

    On an object store every look costs a request: there the workers look, side by side.
    """
    stage = work.stage
    done: list[Mapping[str, int]] = []
    waiting: dict[str, int] = {}
    for job in work.jobs(work.sizes):
        counts = finished(stage, job, fingerprint(stage, job)) if job.store.is_local else None
        if counts is None:
            waiting[job.bucket] = work.sizes[job.bucket]
        else:
            done.append(counts)
    return _reported(work, done, _run_waiting(work, waiting, ""))


def _run_shuffled(work: StageWork) -> StepReport:
    """Run a stage whose units exchange what they hold: all anew, or none where all are done."""
    stage, jobs = work.stage, work.jobs(work.sizes)
    whole = next(fingerprints(stage, jobs))
    done = side_by_side(lambda job: finished(stage, job, whole), jobs)
    known = [counts for counts in done if counts is not None]
    if len(known) == len(jobs):
        return _reported(work, known, _run_waiting(work, {}, whole))
    # what one holds may change what is given to any other
    return _reported(work, [], _run_waiting(work, work.sizes, whole))


def _run_together(work: StageWork, run_all: RunAll) -> StepReport:
    """Have this process do all buckets of a stage that no other may share."""
    began = time.perf_counter()
    with _progress_reported(replace(work, engine=Engine(1)), work.sizes):
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
    work: StageWork, done: Sequence[Mapping[str, int]], rows: Sequence[BucketRun]
) -> StepReport:
    """The report of a stage of which some units were done before, and others now."""
    counts = [*filter(None, done), *(row.counts for row in rows)]
    ran = sum(row.ran for row in rows)
    work_s = sum(row.work_s for row in rows)
    return StepReport(work.stage.name, added(counts), len(work.sizes), ran, work_s=round(work_s, 3))


def _run_waiting(work: StageWork, waiting: Mapping[str, int], whole: str) -> list[BucketRun]:
    """Have the engine do buckets, the largest first, and publish what became of each.

    Raises `TransientError` where some stay unfinished.
    """
    with _progress_reported(work, waiting):
        if not waiting:
            return []
        rows = _run_by_engine(work, waiting, whole)
        unfinished = [row for row in rows if row.unfinished]
        if unfinished:
            raise TransientError(
                f"stage {work.stage.name}: {len(unfinished)} of {len(work.sizes)} buckets are "
                f"unfinished, {unfinished[0].bucket} first: {unfinished[0].unfinished}"
            )
    return rows


def _run_by_engine(work: StageWork, waiting: Mapping[str, int], whole: str) -> list[BucketRun]:
    if not work.is_local:
        from pipelines.beam.run import run_buckets

        return run_buckets(
            work.stage, work.store, work.recipe, waiting, work.folder, work.engine, whole
        )
    [order] = balanced(waiting, 1)
    rows = run_here(work.stage, work.jobs(order), work.engine.workers, whole)
    work.store.write_json(
        f"{work.folder}/{work.stage.name}.json", sorted(rows, key=lambda row: row.bucket)
    )
    return rows


@contextmanager
def _progress_reported(work: StageWork, waiting: Mapping[str, int]) -> Iterator[None]:
    """Report how far a stage is while the block lasts, and at its end that all is done."""
    total = sum(work.sizes.values())
    done = [total - sum(waiting.values())]

    def count(number: int) -> None:
        done[0] += number
        work.watch(StepProgress(work.stage.name, min(done[0], total), total))

    count(0)
    with _counted_here(count) if work.is_local else _counted_elsewhere(work, waiting, count):
        yield
    count(total - done[0])


@contextmanager
def _counted_here(count: Callable[[int], None]) -> Iterator[None]:
    bucket.listen(count)
    try:
        yield
    finally:
        bucket.listen(None)


@contextmanager
def _counted_elsewhere(
    work: StageWork, waiting: Mapping[str, int], count: Callable[[int], None]
) -> Iterator[None]:
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        polls = pool.submit(_poll_markers, work, dict(waiting), count, ended)
        try:
            yield
        finally:
            ended.set()
        polls.result()  # a lock that was lost is raised here


def _poll_markers(
    work: StageWork,
    waiting: dict[str, int],
    count: Callable[[int], None],
    ended: threading.Event,
) -> None:
    """Count buckets that workers elsewhere finish, by their markers.

    One whose old marker still stands counts once it has gone.
    """
    stale = _marked(work.stage, work.store) & waiting.keys()
    while not ended.wait(_POLL_S):
        marked = _marked(work.stage, work.store)
        stale &= marked
        for name in (marked & waiting.keys()) - stale:
            count(waiting.pop(name))


def _marked(stage: Stage, store: Store) -> set[str]:
    return {
        name.removesuffix(MARKER) for name in store.names(stage.folder) if name.endswith(MARKER)
    }
