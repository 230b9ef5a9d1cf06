"""What a pipeline over buckets reports."""

from collections.abc import Callable
from typing import NamedTuple

from pipelines.errors import PipelineError
from pipelines.stage import Summary


class BucketRun(NamedTuple):
    """What became of a bucket: whether it was run, the stage's own work, why it is unfinished ("" where it is done), its counts."""

    bucket: str
    ran: bool
    work_s: float
    unfinished: str
    counts: dict[str, int]


def reported(bucket: str, work: Callable[[], Summary]) -> BucketRun:
    """What became of a bucket's work; what cannot be done now is reported, and the others go on."""
    try:
        summary = work()
    except (PipelineError, OSError) as error:
        return BucketRun(bucket, True, 0.0, str(error), {})
    return BucketRun(bucket, summary.ran, summary.work_s, "", summary.counts)
