"""A real Dask cluster on this host: a scheduler and workers, each a process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.waiting import free_port


@contextmanager
def cluster(
    folder: Path, environment: dict[str, str]
) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler and two workers of one thread each; its address, and the workers."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", str(port)],
        *[["worker", address, "--nthreads", "1"]] * 2,
    ]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *command, "--no-dashboard"], cwd=folder, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]  # fmt: skip
    try:
        yield address, [psutil.Process(process.pid) for process in started[1:]]
    finally:
        for process in started:
            kill(psutil.Process(process.pid))
            process.wait()


def kill(process: psutil.Process) -> None:
    for member in [*process.children(recursive=True), process]:
        member.kill()
