"""One stage over its buckets as a Beam pipeline that ends in one combined summary."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc

from pipelines.beam.exchange import exchanged
from pipelines.beam.options import IN_MEMORY, Engine
from pipelines.beam.quiet_import import PipelineOptions, beam
from pipelines.build.outputs import Job
from pipelines.engine.pool import BucketRun, balanced, reported
from pipelines.engine.stage import Stage, run_bucket
from pipelines.errors import PipelineError
from pipelines.storage.store import Store
from schemas.recipe import Recipe

_MOST_WORKERS: Final = 256  # elements that a pipeline starts from, however many buckets there are


class RunBucket(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Does one bucket; one that cannot be done now is reported, and the others go on."""

    def __init__(self, stage: Stage, out: str, recipe: Recipe) -> None:
        self._stage, self._out, self._recipe = stage, out, recipe

    def process(self, bucket: str) -> Any:
        """Yield what became of the bucket."""
        yield reported(
            bucket, lambda: run_bucket(self._stage, Job(self._out, bucket, self._recipe))
        )


class AssignBuckets(beam.DoFn):  # type: ignore[misc]
    """Reads the names of the buckets that a worker was assigned."""

    def __init__(self, out: str, name: str) -> None:
        self._out, self._name = out, name

    def process(self, worker: int) -> Iterator[str]:
        """Yield them, in order."""
        yield from Store(self._out).read_json(self._name)[worker]


class WriteSummary(beam.DoFn):  # type: ignore[misc]
    """Publishes what became of every bucket: the one end that the whole pipeline must reach.

    It yields a pair to be grouped: Beam's Python job service waits for ever for a worker that dies
    where nothing comes after.
    """

    def __init__(self, out: str, name: str) -> None:
        self._out, self._name = out, name

    def process(self, rows: list[BucketRun]) -> Iterator[tuple[str, int]]:
        """Write the rows in the order of their buckets' names."""
        Store(self._out).write_json(self._name, sorted(rows, key=lambda row: row.bucket))
        yield self._name, len(rows)


def run_buckets(
    stage: Stage,
    store: Store,
    recipe: Recipe,
    sizes: Mapping[str, int],
    run_folder: str,
    engine: Engine,
    whole: str = "",
) -> list[BucketRun]:
    """Run a stage over the buckets in `sizes` (their clips) and return what became of each.

    Where buckets exchange what they hold, `sizes` are all of them, and `whole` is the
    fingerprint of the corpus.

    Runners get references alone: the buckets' names lie in the run's folder. Raises `PipelineError`
    where a bucket is missing.
    """
    count = min(len(sizes), _MOST_WORKERS)
    assigned, summary = f"{run_folder}/{stage.name}.deal.json", f"{run_folder}/{stage.name}.json"
    store.write_json(assigned, balanced(sizes, count))
    # the error that counts is raised below, once
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_unheard)
    try:
        with beam.Pipeline(options=PipelineOptions(arguments(engine))) as pipeline:
            workers = pipeline | "Workers" >> beam.Create(list(range(count)), reshuffle=False)
            buckets = (
                workers
                | "Deal" >> beam.ParDo(AssignBuckets(store.url, assigned))
                | "Share" >> beam.Reshuffle()
            )
            if stage.shuffle is None:
                done = buckets | stage.name >> beam.ParDo(RunBucket(stage, store.url, recipe))
            else:
                done = exchanged(buckets, stage, stage.shuffle, store.url, recipe, whole)
            (
                done
                | "Gather" >> beam.combiners.ToList()
                | "Summary" >> beam.ParDo(WriteSummary(store.url, summary))
                | "End" >> beam.GroupByKey()
            )
    except Exception as error:  # whatever a runner wraps it in
        raise _unwrapped(error, stage) from error
    rows = [BucketRun(*row) for row in store.read_json(summary)]
    missing = set(sizes) - {row.bucket for row in rows}
    if missing:
        raise PipelineError(
            f"stage {stage.name}: {engine.runner} reported success but {len(missing)} buckets "
            f"are missing, {min(missing)} first"
        )
    return rows


def arguments(engine: Engine) -> list[str]:
    """The engine as Beam's own options."""
    # in memory no server is needed
    alone = (
        ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
        if engine.runner == IN_MEMORY
        else []
    )
    return [f"--runner={engine.runner}", *engine.options, *alone]


def _unwrapped(error: BaseException, stage: Stage) -> Exception:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PipelineError):
            return PipelineError(f"stage {stage.name}: {inner}")
        inner = inner.__cause__ or inner.__context__
    if isinstance(error, grpc.Call):
        return PipelineError(
            f"stage {stage.name} failed: the job server "
            f"is gone or does not answer ({error.details()})"
        )
    return PipelineError(
        f"stage {stage.name} failed: {first_cause(str(error) or type(error).__name__)}"
    )


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
