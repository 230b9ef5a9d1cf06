"""What is asked of Flink's job manager, of one that answers as Flink 1.19 does."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.beam.flink import ClusterSlots, Flink, on_cluster
from pipelines.beam.options import Engine, engine_of
from pipelines.errors import PipelineError, WrongArgument


class JobManager(ThreadingHTTPServer):
    """Two task managers of two slots each, and jobs by id: their names and states."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.jobs: dict[str, tuple[str, str]] = {}
        self.is_flink = True

    @property
    def address(self) -> str:
        """Where it is asked."""
        return f"127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: JobManager

    def do_GET(self) -> None:
        overview = {"taskmanagers": 2, "slots-total": 4, "slots-available": 4}
        jobs = [{"jid": jid, "name": n, "state": s} for jid, (n, s) in self.server.jobs.items()]
        answer = overview if self.path == "/overview" else {"jobs": jobs}
        self._answer(answer if self.server.is_flink else {})

    def do_PATCH(self) -> None:
        jid = self.path.removeprefix("/jobs/").removesuffix("?mode=cancel")
        self.server.jobs[jid] = (self.server.jobs[jid][0], "CANCELED")
        self._answer({})

    def _answer(self, what: object) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def manager() -> Iterator[JobManager]:
    with JobManager() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def test_a_job_is_ended_by_its_name_and_no_other(manager: JobManager) -> None:
    manager.jobs = {
        "a": ("obbligato-1", "RUNNING"),
        "b": ("obbligato-2", "RUNNING"),
        "c": ("obbligato-1", "FINISHED"),
    }
    assert Flink(manager.address).running("obbligato-1") == ["a"]
    assert Flink(f"http://{manager.address}/").end("obbligato-1", 5)
    assert manager.jobs == {
        "a": ("obbligato-1", "CANCELED"),
        "b": ("obbligato-2", "RUNNING"),
        "c": ("obbligato-1", "FINISHED"),
    }


def test_parallelism_is_the_clusters_unless_it_was_asked_for(manager: JobManager) -> None:
    assert Flink(manager.address).slots() == ClusterSlots(total=4, free=4, each=2)
    options = [f"flink_master={manager.address}"]
    engine = on_cluster(engine_of(1, "FlinkRunner", options))
    assert engine.options[1:] == ("--parallelism=4", "--sdk_worker_parallelism=2")
    engine = on_cluster(engine_of(1, "FlinkRunner", [*options, "parallelism=3"]))
    assert engine.options[1:] == ("--parallelism=3", "--sdk_worker_parallelism=2")


def test_more_parallelism_than_the_cluster_has_slots_is_refused(manager: JobManager) -> None:
    asked = engine_of(1, "FlinkRunner", [f"flink_master={manager.address}", "parallelism=8"])
    with pytest.raises(WrongArgument, match=r"parallelism=8, but Flink at .* has 4 slots"):
        on_cluster(asked)


def test_what_is_not_flink_and_what_is_not_there_is_named(manager: JobManager) -> None:
    manager.is_flink = False
    with pytest.raises(PipelineError, match=r"not Flink's job manager \(KeyError: 'jobs'\)"):
        Flink(manager.address).running("any")
    manager.shutdown()
    manager.server_close()
    with pytest.raises(PipelineError, match=f"{manager.address} does not answer .*flink_master"):
        Flink(manager.address).slots()


def test_other_engines_are_left_as_they_are() -> None:
    engine = Engine(1, "PortableRunner", ("--job_endpoint=localhost:8099",))
    assert on_cluster(engine) is engine
