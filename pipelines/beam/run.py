"""One stage over its buckets as a Beam pipeline that ends in one combined summary."""

import logging
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.errors import PipelineError
from pipelines.stage import Job, Stage, run_bucket
from pipelines.store import Store


class BucketRun(NamedTuple):
    """What became of a bucket: seconds of the stage's own work, and why it is unfinished ("" where it is done)."""

    bucket: str
    work_s: float
    unfinished: str


class RunBucket(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Does one bucket; one that cannot be done now is reported, and the others go on."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def process(self, job: Job) -> Any:
        """Yield what became of the bucket."""
        try:
            summary = run_bucket(self._stage, job)
            yield BucketRun(job.bucket, summary.work_s, "")
        except (PipelineError, OSError) as error:
            yield BucketRun(job.bucket, 0.0, str(error))


class WriteSummary(beam.DoFn):  # type: ignore[misc]
    """Publishes what became of every bucket: the one end that the whole pipeline must reach."""

    def __init__(self, out: str, name: str) -> None:
        self._out, self._name = out, name

    def process(self, rows: list[BucketRun]) -> None:
        """Write the rows in the order of their buckets' names."""
        Store(self._out).write_json(self._name, sorted(rows))


def shared(jobs: Sequence[Job], sizes: Mapping[str, int], workers: int) -> list[Job | None]:
    """Jobs in an order in which every `workers`-th belongs to one worker, largest first to the least busy; gaps are none.

    Beam's local runner deals keys out in turn, so the order is the schedule.
    """
    hands: list[list[Job]] = [[] for _ in range(workers)]
    for job in sorted(jobs, key=lambda job: (-sizes[job.bucket], job.bucket)):
        min(hands, key=lambda hand: sum(sizes[held.bucket] for held in hand)).append(job)
    return [job for turn in zip_longest(*hands) for job in turn]


def run_stage(
    stage: Stage, jobs: Sequence[Job], sizes: Mapping[str, int], run_folder: str, workers: int, runner: str, options: Sequence[str]
) -> list[BucketRun]:
    """Run a stage over `jobs`, whose `sizes` are in clips, and return what became of each.

    Locally each of `workers` threads drives its own child process (see `pipelines.isolation`), so a worker that dies is
    replaced on the spot and no Beam worker can be lost. Raises `PipelineError` where a bucket failed or is missing.
    """
    summary = f"{run_folder}/{stage.name}.json"
    arguments = [f"--runner={runner}", *options]
    if runner == "FnApiRunner":
        mode = "multi_threading" if workers > 1 else "in_memory"
        arguments += [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # the error that counts is raised below, once
    try:
        with beam.Pipeline(options=PipelineOptions(arguments)) as pipeline:
            (
                pipeline
                | "Buckets" >> beam.Create(list(enumerate(shared(jobs, sizes, workers))), reshuffle=False)
                | "Share" >> beam.GroupByKey()  # a runner shares keys among its workers, in this order
                | "Take" >> beam.FlatMap(lambda row: [job for job in row[1] if job is not None])
                | stage.name >> beam.ParDo(RunBucket(stage))
                | "Gather" >> beam.combiners.ToList()
                | "Summary" >> beam.ParDo(WriteSummary(jobs[0].out, summary))
            )
    except Exception as error:  # whatever a runner wraps it in
        raise _unwrapped(error, stage) from error
    rows = [BucketRun(*row) for row in Store(jobs[0].out).read_json(summary)]
    missing = {job.bucket for job in jobs} - {row.bucket for row in rows}
    if missing:
        raise PipelineError(f"stage {stage.name}: {runner} reported success but {len(missing)} buckets are missing, {min(missing)} first")
    return rows


def _unwrapped(error: BaseException, stage: Stage) -> Exception:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PipelineError):
            return PipelineError(f"stage {stage.name}: {inner}")
        inner = inner.__cause__ or inner.__context__
    return PipelineError(f"stage {stage.name} failed: {error}")
