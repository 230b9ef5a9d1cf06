"""A job that a killed run has left is ended by the next one, at a job server that speaks Beam's."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from typing_extensions import override

from pipelines.beam import left_job
from pipelines.beam.left_job import JOBS, StillRuns, end_left, noted
from pipelines.beam.options import Engine, engine_of
from pipelines.storage.lock import hold
from pipelines.storage.store import Store

NAME = "obbligato-0123456789ab"
NOTE = f"{JOBS}/{NAME}.json"
JOB = f"{NAME}_6f1c2d3e-0000-4000-8000-000000000001"
OTHER = "job-8"
State = beam_job_api_pb2.JobState


class JobServer(beam_job_api_pb2_grpc.JobServiceServicer):  # type: ignore[misc]  # no types
    """One that has jobs by id; `deaf` where cancelling does nothing."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.cancelled: list[str] = []
        self.deaf = False
        self.address = ""

    @override
    def GetState(self, request: Any, context: Any) -> Any:
        if request.job_id not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such job")
        return beam_job_api_pb2.JobStateEvent(state=self.jobs[request.job_id])

    @override
    def Cancel(self, request: Any, context: Any) -> Any:
        self.cancelled.append(request.job_id)
        if not self.deaf:
            self.jobs[request.job_id] = State.CANCELLED
        return beam_job_api_pb2.CancelJobResponse(state=self.jobs[request.job_id])


@pytest.fixture
def server() -> Iterator[JobServer]:
    jobs = JobServer()
    served = grpc.server(ThreadPoolExecutor(2))
    jobs.address = f"localhost:{served.add_insecure_port('127.0.0.1:0')}"
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(jobs, served)
    served.start()
    yield jobs
    served.stop(0)


def engine(server: JobServer) -> Engine:
    return engine_of(1, "PortableRunner", [f"job_endpoint={server.address}"])


def left_by_a_killed_run(store: Store, server: JobServer, job_id: str) -> None:
    """As it stands in a store when the run that has written it is no more."""
    with noted(store, engine(server), NAME, job_id):
        content = store.read_json(NOTE)
    store.write_json(NOTE, content)


def test_a_job_is_noted_while_it_runs_and_no_longer(tmp_path: Path, server: JobServer) -> None:
    store = Store(str(tmp_path))
    with noted(store, engine(server), NAME, JOB):
        assert json.loads((tmp_path / NOTE).read_text()) == {
            "holder_id": "",
            "name": NAME,
            "job_id": JOB,
            "server": server.address,
            "flink": "",
        }
    assert not (tmp_path / NOTE).exists()
    with pytest.raises(KeyboardInterrupt), noted(store, engine(server), NAME, JOB):
        raise KeyboardInterrupt  # after which it was cancelled
    assert not (tmp_path / NOTE).exists()


def test_a_left_job_that_still_runs_is_cancelled(tmp_path: Path, server: JobServer) -> None:
    store = Store(str(tmp_path))
    server.jobs = {JOB: State.RUNNING, OTHER: State.RUNNING}
    left_by_a_killed_run(store, server, JOB)
    end_left(store, engine(server))
    assert server.cancelled == [JOB]
    assert not (tmp_path / NOTE).exists()
    end_left(store, engine(server))  # nothing is left
    assert server.cancelled == [JOB]


def test_a_share_that_is_taken_beside_leaves_its_neighbours_job_alone(
    tmp_path: Path, server: JobServer
) -> None:
    store = Store(str(tmp_path))
    server.jobs = {JOB: State.RUNNING}
    with hold(store, "test"), noted(store, engine(server), NAME, JOB):
        end_left(store, engine(server))
    assert server.cancelled == []


def test_who_the_command_does_not_name_is_not_asked(tmp_path: Path, server: JobServer) -> None:
    """A note is data: a stranger's may name anybody."""
    store = Store(str(tmp_path))
    server.jobs = {JOB: State.RUNNING}
    left_by_a_killed_run(store, server, JOB)
    end_left(store, engine_of(1, "PortableRunner", ["job_endpoint=localhost:9"]))
    assert server.cancelled == []
    assert (tmp_path / NOTE).exists()


@pytest.mark.parametrize("jobs", [{}, {JOB: State.FAILED}], ids=["unknown", "ended"])
def test_one_that_has_ended_is_left_alone(
    tmp_path: Path, server: JobServer, jobs: dict[str, Any]
) -> None:
    store = Store(str(tmp_path))
    server.jobs = jobs
    left_by_a_killed_run(store, server, JOB)
    end_left(store, engine(server))
    assert server.cancelled == []
    assert not (tmp_path / NOTE).exists()


def test_one_that_cannot_be_ended_stops_the_run_and_is_named(
    tmp_path: Path, server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_job, "ENDS_WITHIN_S", 0.0)
    store = Store(str(tmp_path))
    server.jobs, server.deaf = {JOB: State.RUNNING}, True
    left_by_a_killed_run(store, server, JOB)
    with pytest.raises(StillRuns, match=rf"job {JOB} at {server.address}, which an earlier run"):
        end_left(store, engine(server))
    assert (tmp_path / NOTE).exists()


def test_a_server_that_is_gone_runs_nothing(tmp_path: Path, server: JobServer) -> None:
    store = Store(str(tmp_path))
    server.address = "localhost:9"  # where nobody listens
    left_by_a_killed_run(store, server, JOB)
    end_left(store, engine(server))
    assert not (tmp_path / NOTE).exists()
