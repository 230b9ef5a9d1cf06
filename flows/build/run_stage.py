"""One stage over all its units: which wait, what is told meanwhile, what came of them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from flows.build.order import DIVIDING
from flows.errors import UsageError
from pipelines.beam.options import LOCAL, Engine
from pipelines.build import plans
from pipelines.build.job import Job
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

_LOOK_EVERY_S: Final = 10.0  # at what workers elsewhere have finished


class StepProgress(NamedTuple):
    """What a build reports while it runs: the step, work done and in all (inputs, or clips)."""

    step: str
    done: int
    total: int


class StepReport(NamedTuple):
    """What a step did: its counts, buckets in all and run now, wall-clock seconds, and seconds of
    the stage's own work.
    """

    step: str
    counts: dict[str, Any]
    buckets: int = 0
    run: int = 0
    seconds: float = 0.0
    work_s: float = 0.0
    told: dict[str, Any] | None = None  # what a run tells beside counts, such as money


class UnitShare(NamedTuple):
    """A share of a stage's units: the first of four, say."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "UnitShare":
        """The share that a command line names, such as ``1/4``."""
        number, _, of = text.partition("/")
        if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise UsageError(f"{text!r} is no share: expected one such as 1/4")
        return cls(int(number), int(of))


WHOLE: Final = UnitShare(1, 1)
Watch = Callable[[StepProgress], None]


def watched(watch: Watch, lock: Lock) -> Watch:
    """The same, looking at the lock now and then: a run that has lost it must not go on for the
    rest of a stage.
    """

    def look(state: StepProgress) -> None:
        lock.glance()
        watch(state)

    return look


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
    sizes = sizes_of(stage, store)
    sizes = {name: sizes[name] for name in balanced(sizes, share.of)[share.number - 1]}
    alone = stage.run_all(recipe)
    if alone is not None:
        return _run_together(stage, store, recipe, alone, sizes, run_folder, watch)
    before, whole = _done_before(stage, [Job(store.url, name, recipe) for name in sizes])
    waiting = {name: sizes[name] for name, counts in before.items() if counts is None}
    if whole and waiting:  # what one holds may change what is given to any other
        before, waiting = {}, sizes
    with _told(stage, store, sizes, waiting, engine, watch):
        folder = run_folder if share == WHOLE else f"{run_folder}/{share.number}-of-{share.of}"
        rows = _run_waiting(stage, store, recipe, waiting, folder, engine, whole) if waiting else []
        unfinished = [row for row in rows if row.unfinished]
        if unfinished:
            raise TransientError(
                f"stage {stage.name}: {len(unfinished)} of {len(sizes)} buckets are unfinished, "
                f"{unfinished[0].bucket} first: {unfinished[0].unfinished}"
            )
    counts = added([*(found for found in before.values() if found), *(row.counts for row in rows)])
    return StepReport(
        stage.name,
        counts,
        len(sizes),
        sum(row.ran for row in rows),
        work_s=round(sum(row.work_s for row in rows), 3),
    )


def _run_waiting(
    stage: Stage,
    store: Store,
    recipe: Recipe,
    waiting: Mapping[str, int],
    folder: str,
    engine: Engine,
    whole: str,
) -> list[BucketRun]:
    """Have the engine do buckets, the largest first, and publish what became of each."""
    if engine.runner == LOCAL:
        [order] = balanced(waiting, 1)
        rows = run_here(
            stage, [Job(store.url, name, recipe) for name in order], engine.workers, whole
        )
        store.write_json(f"{folder}/{stage.name}.json", sorted(rows, key=lambda row: row.bucket))
        return rows
    from pipelines.beam.run import run_buckets

    return run_buckets(stage, store, recipe, waiting, folder, engine, whole)


def _run_together(
    stage: Stage,
    store: Store,
    recipe: Recipe,
    alone: RunAll,
    sizes: Mapping[str, int],
    run_folder: str,
    watch: Watch,
) -> StepReport:
    """Have this process do all buckets of a stage that no other may share."""
    began = time.perf_counter()
    with _told(stage, store, sizes, sizes, Engine(1), watch):
        made = alone(stage, [Job(store.url, name, recipe) for name in sizes])
    if made.details:
        store.write_json(f"{run_folder}/{stage.name}.told.json", made.details)
    counts = added([row.counts for row in made.buckets])
    work_s = round(time.perf_counter() - began, 3)
    return StepReport(
        stage.name,
        counts,
        len(sizes),
        sum(row.ran for row in made.buckets),
        work_s=work_s,
        told=made.details,
    )


def _done_before(stage: Stage, jobs: Sequence[Job]) -> tuple[dict[str, dict[str, int] | None], str]:
    """Counts of units that can be left out, and the fingerprint of all where they tell each other
    what they hold.

    On an object store every look costs a request: there the workers look, side by side.
    """
    if stage.shuffle is None:
        return {
            job.bucket: finished(stage, job, fingerprint(stage, job))
            if job.store.is_local
            else None
            for job in jobs
        }, ""
    whole = next(fingerprints(stage, jobs))
    found = side_by_side(lambda job: finished(stage, job, whole), jobs)
    return {job.bucket: counts for job, counts in zip(jobs, found)}, whole


@contextmanager
def _told(
    stage: Stage,
    store: Store,
    sizes: Mapping[str, int],
    waiting: Mapping[str, int],
    engine: Engine,
    watch: Watch,
) -> Iterator[None]:
    """Tell how far a stage is while the block lasts, and at its end that all is done."""
    total = sum(sizes.values())
    done = [total - sum(waiting.values())]

    def count(number: int) -> None:
        done[0] += number
        watch(StepProgress(stage.name, min(done[0], total), total))

    count(0)
    with _looking(stage, store, waiting, count) if engine.runner != LOCAL else _listening(count):
        yield
    count(total - done[0])


@contextmanager
def _listening(count: Callable[[int], None]) -> Iterator[None]:
    bucket.listen(count)
    try:
        yield
    finally:
        bucket.listen(None)


@contextmanager
def _looking(
    stage: Stage, store: Store, waiting: Mapping[str, int], count: Callable[[int], None]
) -> Iterator[None]:
    ended = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        looks = pool.submit(_look, stage, store, dict(waiting), count, ended)
        try:
            yield
        finally:
            ended.set()
        looks.result()  # a lock that was lost is raised here


def _look(
    stage: Stage,
    store: Store,
    waiting: dict[str, int],
    count: Callable[[int], None],
    ended: threading.Event,
) -> None:
    """Count buckets that workers elsewhere finish, by their markers; one whose old marker still
    stands counts once it has gone.
    """
    stale = _marked(stage, store) & waiting.keys()
    while not ended.wait(_LOOK_EVERY_S):
        marked = _marked(stage, store)
        stale &= marked
        for name in (marked & waiting.keys()) - stale:
            count(waiting.pop(name))


def _marked(stage: Stage, store: Store) -> set[str]:
    return {
        name.removesuffix(MARKER) for name in store.names(stage.folder) if name.endswith(MARKER)
    }
