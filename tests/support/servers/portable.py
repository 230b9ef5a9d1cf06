"""Beam's job service and an external worker pool as processes of this host: what a cluster does,
without one.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from tests.support.building import ROOT
from tests.support.waiting import free_port, listens, until

LOOPBACK: Final = ROOT / "infra/portable/loopback.py"
POOL: Final = ROOT / "pipelines/beam/worker_pool.py"  # which runs where no package of ours is
STARTS_WITHIN_S: Final = 60


class Servers(NamedTuple):
    """A job service and a worker pool that run, and what to pass to a build so that it goes through
    them.
    """

    job_service: psutil.Process
    pool: psutil.Process
    settings: tuple[str, ...]

    @property
    def options(self) -> list[str]:
        """The build's options."""
        return [
            "--runner",
            "PortableRunner",
            *(word for setting in self.settings for word in ("--beam", setting)),
        ]

    def harnesses(self) -> list[psutil.Process]:
        """Beam's worker processes, which the pool has started and which have not ended."""
        return [
            process for process in self.pool.children() if process.status() != psutil.STATUS_ZOMBIE
        ]

    def below(self) -> list[psutil.Process]:
        """All live processes below the pool: Beam's workers, and the children that these drive."""
        return [
            process
            for process in self.pool.children(recursive=True)
            if process.status() != psutil.STATUS_ZOMBIE
        ]


@contextmanager
def servers(folder: Path, python: str = sys.executable, path: str = str(ROOT)) -> Iterator[Servers]:
    """Both, started in `folder`; the pool's workers run `python` with `path` as PYTHONPATH. All of
    it is killed at the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    job_port, pool_port = free_port(), free_port()
    service = "apache_beam.runners.portability.local_job_service_main"
    commands = (
        [sys.executable, str(LOOPBACK), service, "--port", str(job_port)],
        [python, "-P", str(POOL), "--port", str(pool_port)],
    )
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            started.append(_started(command, folder, f"server-{number}.log", path))
        for process, port in zip(started, (job_port, pool_port), strict=True):
            until(partial(listens, port), "Beam server", STARTS_WITHIN_S, process)
        settings = (
            f"job_endpoint=localhost:{job_port}",
            "environment_type=EXTERNAL",
            f"environment_config=localhost:{pool_port}",
        )
        yield Servers(psutil.Process(started[0].pid), psutil.Process(started[1].pid), settings)
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                # each leads a group of its own, with all that it has started
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _started(command: list[str], folder: Path, log: str, path: str) -> "subprocess.Popen[bytes]":
    # The pool starts its workers as "python", whatever runs it: the first one on PATH.
    programs = f"{Path(command[0]).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": path, "PATH": programs}
    with (folder / log).open("wb") as out:
        return subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=out, env=environment, start_new_session=True
        )
