"""A real Prefect server and process worker on 127.0.0.1, for tests of flows."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.waiting import free_port, until

ROOT = Path(__file__).parents[3]
_ASK_EVERY_S = 0.25  # a question is work for the server, on the cores of what it is asked about
_BUSY_S = 180.0  # more than twice what SQLite waits for a lock under this server: a minute
MARK = "OBBLIGATO_TEST_RUN"  # in the environment of a worker and all below it


class Server:
    """A server of its own database, and what tests ask of it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.folder = folder
        self.environment = {
            **os.environ,
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONPATH": str(ROOT),
            "PREFECT_CLI_COLORS": "false",
            **settings,
        }
        command = [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._healthy, "Prefect server", process=self.process)

    def stop(self) -> None:
        """End the server, and wait until it has ended."""
        self.process.terminate()
        self.process.wait()

    def _healthy(self) -> bool:
        try:
            return bool(self.ask("health") is True)
        except OSError:
            return False

    def ask(self, path: str, body: Any = None) -> Any:
        """The answer to a request, as Python values; asked again, as Prefect's client does, while
        SQLite is busy with another writer, which the server says at once or only after a minute.
        """
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/{path}", content, {"Content-Type": "application/json"}
        )
        answer = until(
            lambda: self._answer(request),
            f"answer to {path}: the server's database is busy",
            _BUSY_S,
        )
        assert answer is not None
        return answer[0]

    def _answer(self, request: urllib.request.Request) -> tuple[Any] | None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                return None
            raise
        except TimeoutError:
            return None
        return (json.loads(text) if text else None,)

    def prefect(self, *arguments: str, **environment: str) -> str:
        """What a `prefect` command prints; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, deployment: str, **parameters: Any) -> str:
        """Ask for a run of a deployment; returns its id."""
        found = self.ask(f"deployments/name/{deployment}")
        return str(
            self.ask(
                f"deployments/{found['id']}/create_flow_run",
                {
                    "parameters": parameters,
                    "state": {"type": "SCHEDULED"},
                    "idempotency_key": uuid.uuid4().hex,  # asked twice, it is one run
                },
            )["id"]
        )

    def state(self, run: str) -> str:
        """Name of a run's state."""
        return str(self.ask(f"flow_runs/{run}")["state"]["name"])

    def ended(self, run: str, limit_s: float = 240.0) -> str:
        """A run's last state, once it has ended."""
        ends = ("Completed", "Failed", "Cancelled", "Crashed", "Nothing new")
        return until(
            lambda: state if (state := self.state(run)) in ends else "",
            f"end of run {run}",
            limit_s,
            pause_s=_ASK_EVERY_S,
        )

    def artifacts(self, run: str) -> dict[str, Any]:
        """A run's artifacts by key."""
        found = self.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return {artifact["key"]: artifact["data"] for artifact in found}

    def message(self, run: str) -> str:
        """What a run's last state says."""
        return str(self.ask(f"flow_runs/{run}")["state"]["message"])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests, with a process work pool and the deployments of infra/prefect."""
    made = Server(
        tmp_path_factory.mktemp("prefect"),
        PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="1",
        PREFECT_WORKER_QUERY_SECONDS="0.5",
    )
    try:
        # without the command line, which takes seconds to load
        made.ask("work_pools/", {"name": "obbligato", "type": "process"})
        file = str(ROOT / "infra" / "prefect" / "prefect.yaml")
        made.prefect(
            "deploy",
            "--prefect-file",
            file,
            "--all",
            OBBLIGATO_SOURCE="/nowhere",
            OBBLIGATO_OUT="/nowhere",
        )
        yield made
    finally:
        made.process.send_signal(signal.SIGINT)
        made.process.wait(timeout=30)


def until_alone(process: psutil.Process, mark: str) -> None:
    """Wait until of all that carry a mark this process alone is left."""
    until(
        lambda: [member.pid for member in marked(mark)] == [process.pid],
        "end of all but the worker",
        pause_s=_ASK_EVERY_S,
    )


@contextmanager
def worker(server: Server, **environment: str) -> Iterator[tuple[psutil.Process, str]]:
    """A worker while the block lasts, and the mark that it and all its descendants carry in their
    environment.
    """
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            "obbligato",
            "--type",
            "process",
        ],
        env={**server.environment, MARK: mark, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=server.folder,
    )
    try:
        yield psutil.Process(process.pid), mark
    finally:
        for member in marked(mark):
            member.kill()
        process.wait()


def marked(mark: str) -> list[psutil.Process]:
    """All processes that carry a mark, parents first."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
