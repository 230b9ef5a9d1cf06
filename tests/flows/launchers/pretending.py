"""Jobs of the pretended training, and what tests listen for."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from flows.launchers import TrainJob
from tests.support.waiting import until


def job(out: Path, *options: str, **fields: Any) -> TrainJob:
    return TrainJob(
        arguments=(str(out), *options),
        out=str(out),
        module="tests.flows.launchers.pretend",
        **fields,
    )


class Listener:
    """Keeps what it is told; does something once so many processes have said that they work."""

    def __init__(
        self, when_at_work: Callable[[list[int]], None] = lambda _: None, ranks: int = 1
    ) -> None:
        self.lines: list[str] = []
        self.pids: list[int] = []
        self._act, self._ranks = when_at_work, ranks

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if found := re.fullmatch(r"works as (\d+)", line):
            self.pids.append(int(found[1]))
            if len(self.pids) % self._ranks == 0:
                self._act(self.pids[-self._ranks :])


def stop_first(pids: list[int]) -> None:
    os.kill(pids[0], signal.SIGTERM)


def stop_all(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGTERM)


def break_off(_: list[int]) -> None:
    raise KeyboardInterrupt


@contextmanager
def interrupted_once(asked: Path, go: Path) -> Iterator[None]:
    """Ctrl-C for this process once a stand-in has been asked, which answers only then."""

    def interrupt() -> None:
        until(asked.exists, "call of the stand-in")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        go.touch()

    other = threading.Thread(target=interrupt)
    other.start()
    try:
        yield
    finally:
        other.join()


def alive(pids: list[int]) -> list[int]:
    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]
