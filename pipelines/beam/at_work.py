"""Signs that a job's workers are at work: a file of each in the run's folder, whose name changes.

A runner may wait for ever for a worker that has died or was frozen, or for slots that nobody gives
back; the one who waits for it learns so from storage alone.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pipelines.beam import LOG
from pipelines.errors import PipelineError
from pipelines.storage.store import Store

SILENT_S: Final = 300.0  # without a sign, after which nobody is thought to be at work
_SHOWN_EVERY_S: Final = 60.0
_LOOK_EVERY_S: Final = 10.0
_SAID_AFTER_S: Final = 60.0  # that no worker has begun


class Signs:
    """A worker's own: shown as it begins, and again and again while it works."""

    def __init__(self, store: Store, folder: str, every_s: float = _SHOWN_EVERY_S) -> None:
        self._store, self._folder, self._every_s = store, folder, every_s
        self._name, self._number = uuid.uuid4().hex[:12], 0
        self._working, self._worked = False, False
        self._ended = threading.Event()
        self._show()
        threading.Thread(target=self._keep, name="signs", daemon=True).start()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The worker is at work within the block."""
        self._working = self._worked = True
        try:
            yield
        finally:
            self._working = False

    def end(self) -> None:
        """Show none any more."""
        self._ended.set()

    def _keep(self) -> None:
        while not self._ended.wait(self._every_s):
            if self._worked:
                self._worked = self._working
                self._show()

    def _show(self) -> None:
        with suppress(OSError, PipelineError):  # the next one may be written again
            self._store.write_bytes(f"{self._folder}/{self._name}-{self._number + 1}", b"")
            self._store.delete(f"{self._folder}/{self._name}-{self._number}")
            self._number += 1


class Silence:
    """Whether a job's workers have fallen silent, of one who waits for its end."""

    def __init__(self, store: Store, folder: str, limit_s: float = SILENT_S) -> None:
        self._store, self._folder, self._limit_s = store, folder, limit_s
        self.fell = False

    @contextmanager
    def awaited(self, end: Callable[[], None]) -> Iterator[None]:
        """Look for signs during the block; `end` is called once where they have stopped."""
        ended = threading.Event()
        looks = threading.Thread(target=self._look, args=(ended, end), daemon=True)
        looks.start()
        try:
            yield
        finally:
            ended.set()
            with suppress(OSError, PipelineError):  # signs may stay
                for name in self._store.names(self._folder):
                    self._store.delete(f"{self._folder}/{name}")

    def _look(self, ended: threading.Event, end: Callable[[], None]) -> None:
        seen: list[str] = []
        changed_at_s = time.monotonic()
        told = False
        while not ended.wait(min(_LOOK_EVERY_S, self._limit_s / 4)):
            with suppress(OSError, PipelineError):
                now = self._store.names(self._folder)
                if now != seen:
                    seen, changed_at_s = now, time.monotonic()
            silent_s = time.monotonic() - changed_at_s
            if not seen and not told and silent_s > _SAID_AFTER_S:
                told = True
                LOG.warning(
                    "no worker has begun after %.0f s: the cluster has none free, or starts some",
                    silent_s,
                )
            if seen and silent_s > self._limit_s:
                self.fell = True
                end()
                return
