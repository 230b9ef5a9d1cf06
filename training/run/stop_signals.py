"""Stop signals of a scheduler or a user: the step in hand is finished first."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Whether a stop signal has come; a second one ends the process as usual."""
    received: list[int] = []
    before: dict[int, Any] = {}  # handlers by signal

    def remember(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[number])

    for stop in (signal.SIGTERM, signal.SIGINT):
        before[stop] = signal.signal(stop, remember)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
