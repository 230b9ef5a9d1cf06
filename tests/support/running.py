"""Our command in this process, for tests that read what it says.

One that must see a process (its death, its ports) starts one.
"""

import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from flows.cli import main

_LIMIT_S = 120.0  # a command that waits for a pipe, say, fails its test


class CommandResult(NamedTuple):
    """How a command ended, and what it wrote on either stream."""

    returncode: int
    stdout: str
    stderr: str


def obbligato(*arguments: object, cwd: Path | None = None, **environment: str) -> CommandResult:
    """Run `obbligato` with arguments: its entry point, streams and exit status as in a process of
    its own, but not its imports.
    """
    out, err = _stream(), _stream()
    with (
        _as_started(["obbligato", *map(str, arguments)], cwd, environment),
        patch.multiple(sys, stdout=out, stderr=err),
    ):
        status = _status()
    return CommandResult(status, _written(out), _written(err))


def _status() -> int:
    """Of the command, as the shell would see it."""
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


@contextmanager
def _as_started(
    command: list[str], cwd: Path | None, environment: dict[str, str]
) -> Iterator[None]:
    """What a process of its own would begin with, put back at the end."""
    here, level = Path.cwd(), logging.getLogger().level
    before = signal.signal(signal.SIGALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_REAL, _LIMIT_S)
    try:
        os.chdir(cwd or here)
        with patch.object(sys, "argv", command), patch.dict(os.environ, environment):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.chdir(here)
        logging.getLogger().setLevel(level)


def _out_of_time(*_: object) -> None:
    raise AssertionError(f"the command took longer than {_LIMIT_S:g} s")


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8", "surrogateescape")
