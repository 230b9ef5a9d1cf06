"""A chain of stages over their buckets as a Beam pipeline that ends in one combined summary."""

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from pipelines.beam.at_work import Signs, Silence
from pipelines.beam.exchange import exchanged
from pipelines.beam.failures import WorkersLost, failure
from pipelines.beam.flink import on_cluster
from pipelines.beam.job_server import with_job_server
from pipelines.beam.left_job import end_left, noted
from pipelines.beam.options import IN_MEMORY, Engine, option
from pipelines.beam.quiet_import import PipelineOptions, beam
from pipelines.beam.submitted import finish, resubmitted
from pipelines.build.corrections import looked_up
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
from pipelines.storage.lock import Turn, holder_id
from pipelines.storage.store import Store
from schemas.recipe import Recipe

_MOST_WORKERS: Final = 256  # elements that a pipeline starts from, however many buckets there are


class RunBucket(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Does one bucket at each stage of a chain; one that cannot be done now is reported, and the
    others go on. None is begun once the run has ended.
    """

    def __init__(self, chain: "_Chain") -> None:
        self._stages, self._out, self._shown = chain.stages, chain.store.url, chain.shown
        self._of_any = looked_up(chain.store, chain.recipe)
        self._holder_id = holder_id(chain.store)
        self._turn: Turn | None = None  # a worker's own
        self._signs: Signs | None = None  # likewise

    def process(self, bucket: str) -> Iterator[BucketRun]:
        """Yield what became of the bucket at each stage."""
        if self._turn is None or self._signs is None:
            self._turn = Turn(Store(self._out), self._holder_id)
            self._signs = Signs(Store(self._out), self._shown)
        with self._signs.shown():
            job = self._of_any._replace(bucket=bucket)
            rows = chained(self._stages, job, self._turn.check)
        yield from rows

    def teardown(self) -> None:
        """Show no more signs: the job is over."""
        if self._signs is not None:
            self._signs.end()


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

    Runners get references alone: the buckets' names lie in the run's folder. Where workers are lost
    the job is submitted again, and what was lost is in that folder too. Raises `PipelineError`
    where a bucket is missing.
    """
    chain = _Chain(stages, store, recipe, run_folder, whole)
    count = min(len(sizes), _MOST_WORKERS)
    store.write_json(chain.assigned, balanced(sizes, count))
    end_left(store, engine)
    lost = resubmitted(lambda: _submit(chain, count, on_cluster(with_job_server(engine))))
    if lost:
        store.write_json(f"{run_folder}/{stages[0].name}.lost.json", lost)
    rows = read_rows(store, run_folder, [stage.name for stage in stages])
    missing = set(sizes) - ended(rows, stages[-1])
    if missing:
        raise PipelineError(
            f"{_named(stages)}: {engine.runner} reported success but {len(missing)} buckets "
            f"are missing, {min(missing)} first"
        )
    return rows


class _Chain(NamedTuple):
    """What a job is to do: a chain of stages in a store, whose reports go to a folder in it.

    `whole` is the corpus's fingerprint, where buckets exchange what they hold.
    """

    stages: Sequence[Stage]
    store: Store
    recipe: Recipe
    folder: str
    whole: str

    @property
    def assigned(self) -> str:
        """The file that holds the names of its buckets."""
        return f"{self.folder}/{self.stages[0].name}.deal.json"

    @property
    def shown(self) -> str:
        """The folder of its workers' signs."""
        return f"{self.folder}/at_work"


def _submit(chain: _Chain, workers: int, engine: Engine) -> None:
    """Run a chain as one job, to its end.

    Raises `PipelineError` for whatever a runner raises, and `WorkersLost` among them.
    """
    name = option(engine, "job_name") or f"obbligato-{uuid.uuid4().hex[:12]}"
    # the error that counts is raised below, once
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_unheard)
    pipeline = beam.Pipeline(options=PipelineOptions([*arguments(engine), f"--job_name={name}"]))
    _add(chain, workers, pipeline)
    try:
        # buckets that exchange what they hold are long in the runner's own hands
        by_bucket = chain.stages[0].shuffle is None
        silence = Silence(chain.store, chain.shown) if by_bucket else None
        finish(pipeline, partial(noted, chain.store, engine, name), silence)
    except WorkersLost as error:
        raise WorkersLost(f"{_named(chain.stages)} failed: {error.what}") from error
    except Exception as error:  # whatever a runner wraps it in
        raise failure(error, _named(chain.stages), engine) from error


def _add(chain: _Chain, workers: int, pipeline: Any) -> None:
    """Add a chain's steps to a pipeline."""
    stages, out, recipe = chain.stages, chain.store.url, chain.recipe
    buckets = (
        pipeline
        | "Workers" >> beam.Create(list(range(workers)), reshuffle=False)
        | "Deal" >> beam.ParDo(AssignBuckets(out, chain.assigned))
        | "Share" >> beam.Reshuffle()
    )
    if stages[0].shuffle is None:
        done = buckets | _named(stages) >> beam.ParDo(RunBucket(chain))
    else:
        [stage] = stages
        done = exchanged(buckets, stage, stages[0].shuffle, out, recipe, chain.whole)
    (
        done
        | "Gather" >> beam.combiners.ToList()
        | "Summary" >> beam.ParDo(WriteSummary(stages, out, chain.folder))
        | "End" >> beam.GroupByKey()
    )


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


def _unheard(record: logging.LogRecord) -> bool:
    """Whether a line of the root log is not Beam's copy of its runner's words: those are raised."""
    return record.module != "portable_runner"
