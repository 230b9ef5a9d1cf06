"""Limits under which a test's own work ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OverLimit(Exception):
    """More CPU was used than a test allows."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raises `OverLimit` inside the block once this process has used so many seconds of CPU there,
    however busy the machine is; regular expressions are interrupted too.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        raise OverLimit(f"more than {seconds:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
