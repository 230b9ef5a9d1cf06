"""A chain of stages over their buckets as a Beam pipeline that ends in one combined summary."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import grpc

from pipelines.beam.exchange import exchanged
from pipelines.beam.options import IN_MEMORY, Engine
from pipelines.beam.quiet_import import PipelineOptions, beam
from pipelines.beam.submitted import finish
from pipelines.build.corrections import corrected_songs
from pipelines.build.outputs import Job
from pipelines.engine.pool import (
    BucketRun,
    balanced,
    chained,
    ended,
    read_rows,
    write_rows,
)
from pipelines.engine.stage import Stage
from pipelines.errors import PipelineError
from pipelines.storage.lock import Turn, held_by
from pipelines.storage.store import Store
from schemas.recipe import Recipe

_OURS: Final = f"{PipelineError.__module__}.{PipelineError.__name__}: "
_RUNNING: Final = re.compile(r" \[while running '[^']*'\]")  # added by Beam: its own transform
_MOST_WORKERS: Final = 256  # elements that a pipeline starts from, however many buckets there are


class RunBucket(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Does one bucket at each stage of a chain; one that cannot be done now is reported, and the
    others go on. None is begun once the run has ended.
    """

    def __init__(self, stages: Sequence[Stage], store: Store, recipe: Recipe) -> None:
        self._stages, self._out, self._recipe = stages, store.url, recipe
        self._may_be_corrected = bool(corrected_songs(store))
        holder = held_by(store)
        self._holder_id = holder.holder_id if holder else ""
        self._turn: Turn | None = None  # a worker's own

    def process(self, bucket: str) -> Iterator[BucketRun]:
        """Yield what became of the bucket at each stage."""
        if self._turn is None:
            self._turn = Turn(Store(self._out), self._holder_id)
        job = Job(self._out, bucket, self._recipe, self._may_be_corrected)
        yield from chained(self._stages, job, self._turn.check)


class AssignBuckets(beam.DoFn):  # type: ignore[misc]
    """Reads the names of the buckets that a worker was assigned."""

    def __init__(self, out: str, name: str) -> None:
        self._out, self._name = out, name

    def process(self, worker: int) -> Iterator[str]:
        """Yield them, in order."""
        yield from Store(self._out).read_json(self._name)[worker]


class WriteSummary(beam.DoFn):  # type: ignore[misc]
    """Publishes what became of every bucket, a file a stage: the one end that the whole pipeline
    must reach.

    It yields a pair to be grouped: Beam's Python job service waits for ever for a worker that dies
    where nothing comes after.
    """

    def __init__(self, stages: Sequence[Stage], out: str, folder: str) -> None:
        self._names, self._out, self._folder = [stage.name for stage in stages], out, folder

    def process(self, rows: list[BucketRun]) -> Iterator[tuple[str, int]]:
        """Write the rows in the order of their buckets' names."""
        write_rows(Store(self._out), self._folder, self._names, rows)
        yield self._folder, len(rows)


def run_buckets(
    stages: Sequence[Stage],
    store: Store,
    recipe: Recipe,
    sizes: Mapping[str, int],
    run_folder: str,
    engine: Engine,
    whole: str = "",
) -> list[BucketRun]:
    """Run a chain of stages over the buckets in `sizes` (their clips), as one job, and return what
    became of each at each.

    Where buckets exchange what they hold, it is one stage, `sizes` are all of them, and `whole` is
    the fingerprint of the corpus.

    Runners get references alone: the buckets' names lie in the run's folder. Raises `PipelineError`
    where a bucket is missing.
    """
    count = min(len(sizes), _MOST_WORKERS)
    assigned = f"{run_folder}/{stages[0].name}.deal.json"
    store.write_json(assigned, balanced(sizes, count))
    # the error that counts is raised below, once
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_unheard)
    pipeline = beam.Pipeline(options=PipelineOptions(arguments(engine)))
    workers = pipeline | "Workers" >> beam.Create(list(range(count)), reshuffle=False)
    buckets = (
        workers
        | "Deal" >> beam.ParDo(AssignBuckets(store.url, assigned))
        | "Share" >> beam.Reshuffle()
    )
    if stages[0].shuffle is None:
        chain = RunBucket(stages, store, recipe)
        done = buckets | _named(stages) >> beam.ParDo(chain)
    else:
        [stage] = stages
        done = exchanged(buckets, stage, stages[0].shuffle, store.url, recipe, whole)
    (
        done
        | "Gather" >> beam.combiners.ToList()
        | "Summary" >> beam.ParDo(WriteSummary(stages, store.url, run_folder))
        | "End" >> beam.GroupByKey()
    )
    try:
        finish(pipeline)
    except Exception as error:  # whatever a runner wraps it in
        raise _unwrapped(error, stages) from error
    rows = read_rows(store, run_folder, [stage.name for stage in stages])
    missing = set(sizes) - ended(rows, stages[-1])
    if missing:
        raise PipelineError(
            f"{_named(stages)}: {engine.runner} reported success but {len(missing)} buckets "
            f"are missing, {min(missing)} first"
        )
    return rows


def _named(stages: Sequence[Stage]) -> str:
    """A chain's name.

    >>> from types import SimpleNamespace as Named
    >>> _named([Named(name="pack"), Named(name="verify")]), _named([Named(name="pack")])
    ('stages pack to verify', 'stage pack')
    """
    if len(stages) == 1:
        return f"stage {stages[0].name}"
    return f"stages {stages[0].name} to {stages[-1].name}"


def arguments(engine: Engine) -> list[str]:
    """The engine as Beam's own options."""
    # in memory no server is needed
    alone = (
        ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
        if engine.runner == IN_MEMORY
        else []
    )
    return [f"--runner={engine.runner}", *engine.options, *alone]


def _unwrapped(error: BaseException, stages: Sequence[Stage]) -> Exception:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PipelineError):
            return PipelineError(str(inner))
        inner = inner.__cause__ or inner.__context__
    if isinstance(error, grpc.Call):
        return PipelineError(
            f"{_named(stages)} failed: the job server "
            f"is gone or does not answer ({error.details()})"
        )
    cause = first_cause(str(error) or type(error).__name__)
    if cause.startswith(_OURS):  # a worker's, which names its stage and bucket
        return PipelineError(_RUNNING.sub("", cause.removeprefix(_OURS)))
    return PipelineError(f"{_named(stages)} failed: {cause}")


def first_cause(message: str) -> str:
    """The one line of a runner's message that says what went wrong: runners send whole stack
    traces, one inside another.

    >>> trace = "Traceback (most recent call last):\\n  File 'a.py', line 1\\n    go()"
    >>> first_cause(f"{trace}\\nKeyError: 'C'\\n\\tat org.apache…")
    "KeyError: 'C'"
    """
    lines = message.strip().splitlines() or [""]
    last_frame = max(
        (number for number, line in enumerate(lines) if line.startswith("  File ")), default=-1
    )
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if last_frame >= 0:
        cause = next(
            (line for line in lines[last_frame + 1 :] if line and not line[0].isspace()), lines[0]
        )
    else:
        cause = causes[-1].removeprefix("Caused by: ") if causes else lines[0]
    if "Channel closed prematurely" in cause:
        return "a worker has died, or lost its connection; what it has finished is kept: run again"
    return cause


def _unheard(record: logging.LogRecord) -> bool:
    """Whether a line of the root log is not Beam's copy of its runner's words: those are raised."""
    return record.module != "portable_runner"
