"""Waiting for what other processes do, and finding them a port."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def until(
    wanted: Callable[[], T],
    what: str,
    limit_s: float = 90.0,
    process: "subprocess.Popen[Any] | None" = None,
    pause_s: float = 0.05,
) -> T:
    """The first true answer; fails where there is none in time, or where `process` ends before.

    `pause_s` lies between two questions: those that cost the machine work take a longer one.
    """
    deadline = time.monotonic() + limit_s
    nothing = threading.Event()
    while not (found := wanted()):
        assert time.monotonic() < deadline, f"no {what} within {limit_s} s"
        assert process is None or process.poll() is None, (
            f"no {what}: {process.args!r} has ended with {process.returncode}"
        )
        nothing.wait(pause_s)
    return found


def free_port() -> int:
    """A port of this host at which nothing listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something answers at a port of this host."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
