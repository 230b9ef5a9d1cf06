"""One run at a time in an output folder: `run.lock` in it says whose turn it is, and does not
outlive a crash.

Taking, renewing, taking over and releasing are one step: "put this in place of what I read, if that
still stands" (`lock_file.swap`). A run that is gone is known by its process where it ran here, else
by a lease that it no longer renews.
"""

import math
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, ValidationError

from pipelines.errors import PipelineError
from pipelines.storage.lock_file import (
    NAME,
    RUNS,
    LockContent,
    has_folder,
    prevailed,
    read,
    refuses_rivals,
    remove,
    remove_unused_folder,
    swap,
)
from pipelines.storage.remote import remote_errors
from pipelines.storage.store import Store
from pipelines.storage.temporary import boot_id, pid_namespace
from schemas.record import PositiveSeconds, Record

# long enough for a slow network, short enough to wait for after a cluster's node has died
LEASE_S: Final = 120.0
VARIABLE: Final = "OBBLIGATO_RUN_LOCK"  # tells child processes which lock is their run's
_LOOK_EVERY_S: Final = 2.0  # at a lock that is waited for
_TRIES: Final = 20  # of taking a lock that others take or release at the same moment


class Holder(Record):
    """Who holds a lock.

    Times are UTC, as ISO 8601; `process_start` counts clock ticks since the host's boot.
    """

    holder_id: str
    purpose: str
    host: str
    boot_id: str
    pid_namespace: int
    pid: Annotated[int, Field(ge=0, lt=1 << 31)]
    process_start: int
    taken: str
    renewed: str
    lease_s: PositiveSeconds

    def __str__(self) -> str:
        """One line for the reader."""
        return (
            f"{self.purpose} (host {self.host}, process {self.pid}, "
            f"since {self.taken}, last renewed {self.renewed})"
        )


class Lock:
    """A lock that this run holds, or (in a child process of the run) that its parent holds."""

    def __init__(self, store: Store, holder: Holder, seen: LockContent | None) -> None:
        self.holder, self.lost = holder, False
        self._store, self._seen = store, seen  # nothing seen: the parent's lock
        self._pid, self._renewed_at_s, self._checked_at_s = os.getpid(), _clock_s(), _clock_s()
        self._turn, self._ended = threading.Lock(), threading.Event()

    def check(self) -> None:
        """Raise `PipelineError` once the lock is somebody else's, or nobody's: the run must stop,
        because another may be at work.
        """
        if self._seen is None:
            standing = held_by(self._store)
            self.lost = standing is None or standing.holder_id != self.holder.holder_id
        elif _clock_s() - self._renewed_at_s > self.holder.lease_s / 2:
            # the renewer was away, as on a machine that slept
            self.renew()
        if self.lost:
            raise PipelineError(
                f"{self._store.url} was taken over by another run, "
                "or unlocked; this run stops. See what runs there"
            )

    def glance(self) -> None:
        """`check`, at most once in a quarter of the lease: for whoever comes by often."""
        if _clock_s() - self._checked_at_s > self.holder.lease_s / 4:
            self._checked_at_s = _clock_s()
            self.check()

    def environment(self) -> dict[str, str]:
        """Environment variables for child processes that work for this run."""
        return {VARIABLE: self.holder.holder_id}

    def renew(self) -> None:
        """Say that this run lives.

        Never brings a lock back: one that was taken or removed is lost.
        """
        with self._turn:
            if self.lost or self._seen is None or self._ended.is_set():
                return
            holder, late_s = self.holder.replaced(renewed=_now()), _clock_s() - self._renewed_at_s
            if late_s > holder.lease_s / 2 and not refuses_rivals(self._store):
                # there, a write could hit a lock that somebody took between its reading and the
                # write
                self.lost = True
                return
            try:
                seen = swap(self._store, self._seen, _encoded(holder))
            except (
                OSError,
                PipelineError,
            ):
                # no network, no space: the next renewal may go better, while the lease lasts
                self.lost = late_s > holder.lease_s
                return
            if seen is None:
                self.lost = True
            else:
                self.holder, self._seen, self._renewed_at_s = holder, seen, _clock_s()

    def keep(self) -> None:
        """Renew again and again, until released or lost. For a thread of its own."""
        while not self._ended.wait(self.holder.lease_s / 6) and not self.lost:
            self.renew()

    def release(self) -> None:
        """Give an own lock back; one that cannot be removed ends with its lease."""
        self._ended.set()
        with self._turn, suppress(OSError, PipelineError):
            # a forked process is not the holder
            if self._seen is not None and not self.lost and self._pid == os.getpid():
                remove(self._store, self._seen)


@contextmanager
def hold(store: Store, purpose: str, lease_s: float = LEASE_S) -> Iterator[Lock]:
    """Hold a store's lock during a block. A folder that was made for it goes with it, where nothing
    else was written.

    Child processes of the run that holds it already hold it with their parent.

    Raises `PipelineError` where another run holds it and may be alive; the message names it.
    """
    inherited = os.environ.get(VARIABLE)
    standing = held_by(store) if inherited else None
    if standing is not None and standing.holder_id == inherited:
        yield Lock(store, standing, None)
        return
    was_there = has_folder(store)
    lock = _taken(store, purpose, lease_s)
    try:
        threading.Thread(target=lock.keep, name="lock-renewer", daemon=True).start()
        yield lock
    finally:
        lock.release()
        if not was_there:
            remove_unused_folder(store)


def wait_out(store: Store, report: Callable[[str], None]) -> None:
    """Wait while a lock of another machine stands that nobody renews, until its lease has passed:
    its run may have been killed there.

    Returns at once where its run is alive here, and as soon as it shows that it lives: `hold`
    refuses it then.
    """
    first = read(store)
    if first is None or _is_here(holder := _parsed(first)) or _is_gone(store, holder):
        return
    report(
        f"{store.url} is locked by {holder}; waited for up "
        f"to {holder.lease_s:.0f} s, in case that it was killed"
    )
    while (
        (standing := read(store)) is not None
        and standing.content == first.content
        and not _is_gone(store, holder)
    ):
        time.sleep(_LOOK_EVERY_S)


def held_by(store: Store) -> Holder | None:
    """Who stands in a store's lock, alive or not; none where there is no lock."""
    seen = read(store)
    return None if seen is None else _parsed(seen)


def holder_id(store: Store) -> str:
    """The id of whoever stands in a store's lock; empty where there is no lock."""
    holder = held_by(store)
    return holder.holder_id if holder else ""


class Turn:
    """Whether it is still a run's turn in a folder, as its workers elsewhere see it."""

    def __init__(self, store: Store, holder_id: str) -> None:
        self._store, self._holder_id = store, holder_id
        self._aged_at_s = -math.inf

    def check(self) -> None:
        """Raise `PipelineError` once the run has ended, was ended, or has let its lease pass; a run
        that held no lock, and so has no id, is not looked for.
        """
        if not self._holder_id:
            return
        standing = held_by(self._store)
        if standing is None or standing.holder_id != self._holder_id:
            raise PipelineError(f"the run in {self._store.url} has ended; its workers stop")
        if _clock_s() - self._aged_at_s > standing.lease_s / 4:
            self._aged_at_s = _clock_s()
            if _is_gone(self._store, standing):
                raise PipelineError(
                    f"the run in {self._store.url} is gone ({standing}); its workers stop"
                )


def break_lock(store: Store) -> Holder | None:
    """Remove a lock whoever holds it, and tell who did; none where there was no lock."""
    for _ in range(_TRIES):
        seen = read(store)
        if seen is None:
            return None
        if remove(store, seen):
            return _parsed(seen)
    raise PipelineError(
        f"{store.url}: {NAME} changes all the time, its run is alive; stop that run first"
    )


def _taken(store: Store, purpose: str, lease_s: float) -> Lock:
    now = _now()
    mine = Holder(
        holder_id=uuid.uuid4().hex,
        purpose=purpose,
        host=platform.node(),
        boot_id=boot_id(),
        pid_namespace=pid_namespace(),
        pid=os.getpid(),
        process_start=_process_start(os.getpid()) or 0,
        taken=now,
        renewed=now,
        lease_s=lease_s,
    )
    for attempt in range(_TRIES):
        standing = read(store)
        if standing is not None and not _is_gone(store, holder := _parsed(standing)):
            raise PipelineError(
                f"{store.url} is in use by {holder}. Wait until it has ended; "
                f"if you are sure that it is dead, `obbligato unlock {store.url}` and run again"
            )
        seen = swap(store, standing, _encoded(mine))
        if seen is not None and (
            prevailing := prevailed(store, seen, taken_over=standing is not None)
        ):
            return Lock(store, mine, prevailing)
        time.sleep(0.01 * attempt)
    raise PipelineError(
        f"{store.url}: several runs start at the same moment, and none could take {NAME}; run again"
    )


def _encoded(holder: Holder) -> bytes:
    return holder.model_dump_json(indent=1).encode() + b"\n"


def _parsed(seen: LockContent) -> Holder:
    """The holder; an unreadable file is one of unknown name, respected until its lease ends."""
    try:
        return Holder.model_validate_json(seen.content)
    except ValidationError:
        return Holder(
            holder_id="",
            purpose=f"an unknown run, whose {NAME} this version cannot read",
            host="unknown",
            boot_id="",
            pid_namespace=0,
            pid=0,
            process_start=0,
            taken="unknown",
            renewed="unknown",
            lease_s=LEASE_S,
        )


def _is_gone(store: Store, holder: Holder) -> bool:
    """Whether a run has surely ended, or has let its lease pass."""
    if _is_here(holder):
        return not _runs_here(holder.pid, holder.process_start)
    return _age_s(store) > holder.lease_s


def _is_here(holder: Holder) -> bool:
    """Whether a run's process can be looked at from here, if there is one."""
    return (
        bool(holder.boot_id)
        and holder.boot_id == boot_id()
        and holder.pid_namespace == pid_namespace()
    )


def _age_s(store: Store) -> float:
    """Seconds since the last renewal by the store's own clock: a file written now tells its time,
    so hosts' clocks need not agree.
    """
    probe = f"{RUNS}/.clock-{uuid.uuid4().hex}"
    store.write_bytes(probe, b"")
    try:
        with remote_errors(store.url):
            age = store.fs.modified(store.path(probe)) - store.fs.modified(store.path(NAME))
        return float(age.total_seconds())
    except FileNotFoundError:
        return math.inf  # released just now
    finally:
        store.delete(probe)


def _runs_here(pid: int, process_start: int) -> bool:
    """Whether a process of this host and container runs, and is the one that started then."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return _process_start(pid) in (process_start, None)


def _process_start(pid: int) -> int | None:
    """Clock ticks from the host's boot to a process's start; 0 for a process that has ended but is
    not buried, none where it is hidden.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return 0 if state in "ZX" else int(fields[18])


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _clock_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)  # goes on while the machine sleeps
