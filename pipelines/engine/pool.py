"""The local engine: threads of this process, each of which takes the next bucket and drives a child
of its own.

Nothing listens: what threads tell each other stays in memory, and children are reached by a pair of
sockets without a name.
"""

import heapq
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from pipelines.build.outputs import Job
from pipelines.engine.bucket import at_stage
from pipelines.engine.child_process import CHILDREN
from pipelines.engine.stage import Shuffle, Stage, Summary, check_inputs, do_bucket, run_bucket
from pipelines.errors import PipelineError, TransientError
from pipelines.storage.store import Store
from schemas.counts import Counts

T = TypeVar("T")


class BucketRun(NamedTuple):
    """What became of a bucket at a stage: whether it was run, the stage's own work, why it is
    unfinished ("" where it is done), its counts.
    """

    stage: str
    bucket: str
    ran: bool
    work_s: float
    unfinished: str
    counts: Counts


def reported(stage: Stage, bucket: str, work: Callable[[], Summary]) -> BucketRun:
    """What became of a bucket's work; what cannot be done now is reported, and the others go on."""
    try:
        summary = work()
    except (PipelineError, OSError) as error:
        return BucketRun(stage.name, bucket, True, 0.0, str(error), {})
    return BucketRun(stage.name, bucket, summary.ran, summary.work_s, "", summary.counts)


def _go_on() -> None:
    return None


def chained(
    stages: Sequence[Stage], job: Job, before: Callable[[], None] = _go_on
) -> list[BucketRun]:
    """What became of a bucket at each stage of a chain, one after the other, until one leaves it
    unfinished; `before` is called before each.

    Raises `PipelineError` for what is wrong with a stage rather than with the bucket, and what
    `before` raises.
    """
    rows: list[BucketRun] = []
    for stage in stages:
        with _at(stage, job.bucket):
            before()
            rows.append(reported(stage, job.bucket, partial(run_bucket, stage, job)))
        if rows[-1].unfinished:
            break
    return rows


def ended(rows: Iterable[BucketRun], last: Stage) -> set[str]:
    """Buckets of which it is known how they ended: at a chain's last stage, or where one left them
    unfinished.
    """
    return {row.bucket for row in rows if row.unfinished or row.stage == last.name}


def write_rows(store: Store, folder: str, stages: Sequence[str], rows: Sequence[BucketRun]) -> None:
    """Publish what became of buckets, a file a stage, in the order of their names."""
    for name in stages:
        found = sorted((row for row in rows if row.stage == name), key=lambda row: row.bucket)
        store.write_json(f"{folder}/{name}.json", found)


def read_rows(store: Store, folder: str, stages: Sequence[str]) -> list[BucketRun]:
    """What `write_rows` has published."""
    return [BucketRun(*row) for name in stages for row in store.read_json(f"{folder}/{name}.json")]


@contextmanager
def _at(stage: Stage, bucket: str = "") -> Iterator[None]:
    """What is done within the block is a stage's, and so are its errors."""
    where = f", bucket {bucket}," if bucket else ""
    try:
        with at_stage(stage.name):
            yield
    except PipelineError as error:
        kind = TransientError if isinstance(error, TransientError) else PipelineError
        raise kind(f"stage {stage.name}: {error}") from error
    except OSError:
        raise
    except Exception as error:
        # a defect: it is reported like everything else, and its trace stays behind it
        raise PipelineError(
            f"stage {stage.name}{where} failed: {type(error).__name__}: {error}"
        ) from error


def run_here(stages: Sequence[Stage], jobs: Sequence[Job], workers: int) -> list[BucketRun]:
    """Run a chain of stages over buckets, in the order of `jobs`; each bucket goes through all of
    them, whatever the others do. Returns what became of each at each.

    Raises `PipelineError` for what is wrong with a stage rather than with a bucket; what was
    finished by then is kept.
    """
    rows = shared_out(partial(chained, stages), jobs, workers)
    return [row for of_bucket in rows for row in of_bucket]


def exchange_here(stage: Stage, jobs: Sequence[Job], workers: int, whole: str) -> list[BucketRun]:
    """Run a stage whose buckets exchange what they hold: `jobs` are all of them, and `whole` is the
    fingerprint of the corpus. Returns what became of each.

    Raises `PipelineError` as `run_here` does.
    """
    if stage.shuffle is None:
        raise PipelineError(f"stage {stage.name}: its buckets tell each other nothing")
    with _at(stage):
        return _exchanged(stage, stage.shuffle, jobs, workers, whole)


def _exchanged(
    stage: Stage, shuffle: Shuffle, jobs: Sequence[Job], workers: int, whole: str
) -> list[BucketRun]:
    """What became of each bucket: every one receives, also where nothing was given to it."""
    emitted = shared_out(lambda job: _emitted(stage, shuffle, job), jobs, workers)
    groups = _grouped(pair for pairs in emitted for pair in pairs)
    del emitted
    given: dict[str, list[Any]] = defaultdict(list)
    while groups:
        key, values = groups.popitem()
        for bucket, row in shuffle.reduce(jobs[0].recipe, key, values):
            given[bucket].append(row)

    def receive(job: Job) -> BucketRun:
        rows = given.pop(job.bucket, [])
        with at_stage(stage.name):
            return reported(
                stage,
                job.bucket,
                lambda: do_bucket(stage, job, whole, lambda of: shuffle.receive(of, rows)),
            )

    return shared_out(receive, jobs, workers)


def _emitted(stage: Stage, shuffle: Shuffle, job: Job) -> list[tuple[Any, Any]]:
    with at_stage(stage.name):
        check_inputs(stage, job)
        return list(shuffle.emit(job))


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups


def shared_out(work: Callable[[Job], T], jobs: Sequence[Job], workers: int) -> list[T]:
    """The results of work on each job, in their order; whichever thread is free takes the next.

    The first error ends it: other threads end the job in hand, begin no other, and the error is
    raised. When this thread is interrupted, the children of the others are killed, and all have
    ended before the interruption goes on.
    """
    if workers == 1 or len(jobs) <= 1:
        return [work(job) for job in jobs]
    hands = _Hands(work, jobs)
    try:
        hands.start(min(workers, len(jobs)))
        hands.wait()
    except BaseException:
        hands.stop()
        with CHILDREN.stopped():
            hands.wait()
        raise
    return hands.results()


class _Hands(Generic[T]):
    """Jobs that several threads take from, and what came of them."""

    def __init__(self, work: Callable[[Job], T], jobs: Sequence[Job]) -> None:
        self._work, self._jobs = work, jobs
        self._next = 0
        self._lock = threading.Lock()
        self._done: dict[int, T] = {}
        self._error: BaseException | None = None
        # of threads; an interrupted `Thread.join` takes them for ended
        self._gone: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._working = 0

    def take(self) -> None:
        """Do one job after the other until none is left, or one of any thread has failed."""
        while (number := self._taken()) is not None:
            try:
                self._done[number] = self._work(self._jobs[number])
            except BaseException as error:  # noqa: BLE001  raised again by whoever waits for this thread
                self._error = self._error or error
                self.stop()
        self._gone.put(None)

    def start(self, threads: int) -> None:
        """Start so many threads."""
        for number in range(threads):
            # before it starts: an interruption may come at any time, and waits for all that ran
            self._working += 1
            threading.Thread(target=self.take, name=f"bucket-{number}", daemon=True).start()

    def wait(self) -> None:
        """Until all threads have ended; goes on where an interruption left it."""
        while self._working:
            self._gone.get()
            self._working -= 1

    def _taken(self) -> int | None:
        with self._lock:
            number = self._next
            self._next += 1
        return number if number < len(self._jobs) else None

    def stop(self) -> None:
        """Hand out no other job."""
        with self._lock:
            self._next = len(self._jobs)

    def results(self) -> list[T]:
        """What came of each job, in their order. Raises the first error."""
        if self._error is not None:
            raise self._error
        return [self._done[number] for number in range(len(self._jobs))]


def balanced(sizes: Mapping[str, int], workers: int) -> list[list[str]]:
    """Buckets by worker, the largest first to the one with the least work."""
    held: list[list[str]] = [[] for _ in range(workers)]
    heap = [(0, worker) for worker in range(workers)]
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        work, worker = heapq.heappop(heap)
        held[worker].append(name)
        heapq.heappush(heap, (work + sizes[name], worker))
    return held
