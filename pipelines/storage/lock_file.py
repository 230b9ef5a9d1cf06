"""The file `run.lock` on any store, and the one step that changes it: "put this in place of what I
read, if that still stands".
"""

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from fsspec.implementations.memory import MemoryFileSystem

from pipelines.errors import PipelineError, is_of_the_machine, machine_faults
from pipelines.storage.remote import remote_errors
from pipelines.storage.store import Store

NAME: Final = "run.lock"
RUNS: Final = "runs"  # folder of what runs report, and of what guards the lock
_GUARD: Final = ".lock"  # in that folder
_SETTLE_S = 2.0  # in which rival writes end, on stores that cannot refuse the second one
_MEMORY: Final = threading.Lock()


class LockContent(NamedTuple):
    """What stands in the lock file; `etag` is an object store's name for that content."""

    content: bytes
    etag: str = ""


def _is_s3(store: Store) -> bool:
    return store.url.startswith(("s3://", "s3a://"))


def refuses_rivals(store: Store) -> bool:
    """Whether a store replaces a file only if it is still the one that was read."""
    return store.is_local or isinstance(store.fs, MemoryFileSystem) or _is_s3(store)


def read(store: Store) -> LockContent | None:
    """What stands in the lock file; none where there is none."""
    try:
        # the name first: content that is newer than it makes a swap fail, never succeed wrongly
        with remote_errors(store.url):
            etag = "" if store.is_local else str(store.fs.info(store.path(NAME)).get("ETag") or "")
        return LockContent(store.read_bytes(NAME), etag)
    except FileNotFoundError:
        return None


def swap(store: Store, old: LockContent | None, new: bytes) -> LockContent | None:
    """Put `new` in place of `old` (none: where there is no lock); none where something else stands
    there by now.
    """
    if store.is_local:
        return _swap_local(store, old, new)
    if not isinstance(store.fs, MemoryFileSystem):
        return _swap_remote(store, old, new)
    with _MEMORY:
        if read(store) != old:
            return None
        store.write_bytes(NAME, new)
        return LockContent(new)


def _swap_local(store: Store, old: LockContent | None, new: bytes) -> LockContent | None:
    path, temporary = store.path(NAME), store.path(f".part-{NAME}-{uuid.uuid4().hex}")
    try:
        with machine_faults(f"writing {path}"):
            os.makedirs(store.path(RUNS), exist_ok=True)
            with open(temporary, "wb") as out:
                out.write(new)
                out.flush()
                os.fsync(out.fileno())
        if old is None:
            return LockContent(new) if _linked(temporary, path, new) else None
        with _guarded(store):
            if read(store) != old:
                return None
            os.replace(temporary, path)
        return LockContent(new)
    except FileNotFoundError:  # whoever had made the folder has removed it at this moment
        return None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _linked(temporary: str, path: str, content: bytes) -> bool:
    """Give a whole file its name, unless there is one of that name."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        # a file system without hard links: for a moment the file is empty, and then an unknown
        # run's
        if is_of_the_machine(error):
            raise
        try:
            with open(path, "xb") as out:
                out.write(content)
        except FileExistsError:
            return False
    return True


@contextmanager
def _guarded(store: Store) -> Iterator[None]:
    """One process and thread at a time, on this host and over NFS.

    The kernel frees it when a process dies.
    """
    os.makedirs(store.path(RUNS), exist_ok=True)
    with open(store.path(f"{RUNS}/{_GUARD}"), "wb") as guard:
        with suppress(
            OSError
        ):  # some cluster file systems have no such locks: a moment's race is left there
            fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _swap_remote(store: Store, old: LockContent | None, new: bytes) -> LockContent | None:
    path = store.path(NAME)
    with remote_errors(store.url):
        try:
            if old is None:
                answer = store.fs.pipe_file(path, new, mode="create")
            elif _is_s3(store):
                answer = store.fs.pipe_file(path, new, IfMatch=old.etag)
            elif _stands(store, old.content):
                answer = store.fs.pipe_file(path, new)
            else:
                return None
        except FileNotFoundError as error:
            if old is None:
                raise PipelineError(
                    f"{store.url} cannot be written: {error}; "
                    "check the URL, or create the bucket first"
                ) from error
            return None
        except PermissionError:
            raise
        except OSError as error:
            # refused, or done while the answer was lost: what stands there tells
            standing = read(store)
            # a conflict: rivals write at this moment, none has won yet
            if standing == old and "Conflict" not in str(error.__cause__):
                raise
            return standing if standing is not None and standing.content == new else None
    return LockContent(new, str(answer["ETag"]) if isinstance(answer, dict) else "")


def prevailed(store: Store, seen: LockContent, *, taken_over: bool) -> LockContent | None:
    """The lock as it stands once no rival can be writing; none where a rival prevailed.

    A store that refuses a second creation has kept all rivals out. Others let the last writer win,
    so its word is waited for.
    """
    if store.is_local or isinstance(store.fs, MemoryFileSystem):
        return seen
    with remote_errors(store.url):
        if _is_s3(store) or not taken_over:
            try:
                store.fs.pipe_file(store.path(NAME), seen.content, mode="create")
            except OSError:
                return seen
    time.sleep(_SETTLE_S)
    standing = read(store)
    return standing if standing is not None and standing.content == seen.content else None


def _stands(store: Store, content: bytes) -> bool:
    standing = read(store)
    return standing is not None and standing.content == content


def remove(store: Store, old: LockContent) -> bool:
    """Remove a lock file if what was read still stands there."""
    if store.is_local:
        with _guarded(store):
            return _removed(store, old)
    if isinstance(store.fs, MemoryFileSystem):
        with _MEMORY:
            return _removed(store, old)
    if not _is_s3(store):
        return _removed(store, old)
    bucket, key, _ = store.fs.split_path(store.path(NAME))
    with remote_errors(store.url):
        try:
            store.fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=old.etag)
        except PermissionError:
            raise
        except OSError:  # refused, or done while the answer was lost
            return read(store) is None
    return True


def has_folder(store: Store) -> bool:
    """Whether a store's folder is there; one that is not local needs none."""
    return not store.is_local or os.path.isdir(os.path.dirname(store.path(NAME)))


def remove_unused_folder(store: Store) -> None:
    """Remove a local store's folder that holds nothing but what guards its lock."""
    if not store.is_local:
        return
    folder, runs = os.path.dirname(store.path(NAME)), store.path(RUNS)
    with suppress(OSError):  # another run is taking it
        if os.listdir(folder) == [RUNS] and not {*os.listdir(runs)} - {_GUARD}:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(runs, _GUARD))
            os.rmdir(runs)
            os.rmdir(folder)


def _removed(store: Store, old: LockContent) -> bool:
    if not _stands(store, old.content):
        return False
    store.delete(NAME)
    return True
