"""What a pipeline over buckets reports."""

from typing import NamedTuple


class BucketRun(NamedTuple):
    """What became of a bucket: whether it was run, the stage's own work, why it is unfinished ("" where it is done), its counts."""

    bucket: str
    ran: bool
    work_s: float
    unfinished: str
    counts: dict[str, int]
