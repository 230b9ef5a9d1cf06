"""The jobs that a run has on a cluster, noted in its folder: a run that is killed cannot cancel
them, so that the next one does.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from pydantic import ValidationError

from pipelines.beam.flink import Flink
from pipelines.beam.options import Engine, option
from pipelines.errors import PipelineError
from pipelines.storage.lock import holder_id
from pipelines.storage.lock_file import RUNS
from pipelines.storage.store import Store
from schemas.record import Record

JOBS: Final = f"{RUNS}/jobs"  # folder of the notes, one a job: shares of a step are side by side
ENDS_WITHIN_S: Final = 60.0  # a job that was cancelled
_ANSWERS_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.2
OWN_NAME: Final = re.compile(r"obbligato-[0-9a-f]{12}")
_UNIQUE: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")  # a UUID's beginning
_STATES: Final = beam_job_api_pb2.JobState
_ENDED: Final = frozenset(
    (_STATES.STOPPED, _STATES.DONE, _STATES.FAILED, _STATES.CANCELLED, _STATES.DRAINED)
)


class LeftJob(Record):
    """A job on a cluster: whose lock it works under, its name, its id at Beam's job server, and who
    can be asked about it.

    An address is empty where there is none that outlives the run.
    """

    holder_id: str
    name: str
    job_id: str
    server: str
    flink: str

    def __str__(self) -> str:
        """One line for the reader."""
        where = self.server or self.flink
        return f"job {self.job_id or self.name}{f' at {where}' if where else ''}"


class StillRuns(PipelineError):
    """A job could not be ended."""


@contextmanager
def noted(store: Store, engine: Engine, name: str, job_id: str) -> Iterator[LeftJob]:
    """A run of a store has this job, until it ends: what ends the block has ended it, but for
    `StillRuns` and a death.
    """
    server = option(engine, "job_endpoint")
    job = LeftJob(
        holder_id=holder_id(store),
        name=name,
        job_id=job_id,
        server="" if server == "embed" else server,
        flink=option(engine, "flink_master"),
    )
    if not (job.server or job.flink):  # nobody could be asked about it
        yield job
        return
    file = f"{JOBS}/{name}.json"
    store.write_json(file, job.model_dump())
    try:
        yield job
    except StillRuns:
        raise
    except BaseException:
        store.delete(file)
        raise
    store.delete(file)


def end_left(store: Store, engine: Engine) -> None:
    """End the jobs that earlier runs of a store have left, where they still run; two at work at
    once would only do the same twice.

    Only who is named by `engine` is asked: a note is data, which may be a stranger's. Raises
    `StillRuns` where a job cannot be ended.
    """
    server, flink = option(engine, "job_endpoint"), option(engine, "flink_master")
    for name in store.names(JOBS):
        file = f"{JOBS}/{name}"
        try:
            left = LeftJob.model_validate(store.read_json(file))
        except (FileNotFoundError, ValidationError):
            continue  # it has just ended, or nobody of ours wrote it
        if left.holder_id and left.holder_id == holder_id(store):
            continue  # this run's own, of another share
        at_server = bool(server) and left.server == server
        at_flink = bool(flink) and left.flink == flink
        if not (at_server or at_flink):
            continue
        if (at_server and not _ended_at_server(left)) or (at_flink and not _ended_at_flink(left)):
            raise StillRuns(
                f"{left}, which an earlier run in {store.url} has left, does not end: end it by "
                f"its runner's own page or command, delete {file} there, and run again"
            )
        store.delete(file)


def _ended_at_server(left: LeftJob) -> bool:
    """Whether Beam's job server no longer runs it; one that is gone does not.

    Prism counts its jobs from one again after each start: there, an id says nothing.
    """
    if not _UNIQUE.search(left.job_id):
        return True
    with grpc.insecure_channel(left.server) as channel:
        jobs = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            return _ended(jobs, left.job_id)
        except grpc.RpcError:
            return True


def _ended(jobs: Any, job_id: str) -> bool:
    asked = beam_job_api_pb2.GetJobStateRequest(job_id=job_id)
    deadline = time.monotonic() + ENDS_WITHIN_S
    cancelled = False
    while jobs.GetState(asked, timeout=_ANSWERS_WITHIN_S).state not in _ENDED:
        if not cancelled:
            request = beam_job_api_pb2.CancelJobRequest(job_id=job_id)
            jobs.Cancel(request, timeout=_ANSWERS_WITHIN_S)
            cancelled = True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_EVERY_S)
    return True


def _ended_at_flink(left: LeftJob) -> bool:
    """Whether no Flink job of its name runs any more, once those that do are cancelled; a name that
    was not made here may be others' too.
    """
    if not OWN_NAME.fullmatch(left.name):
        return True
    try:
        return Flink(left.flink).end(left.name, ENDS_WITHIN_S)
    except PipelineError:  # nobody is there who could run it
        return True
