"""Folders that all workers of a run share: made once, by whichever asks first, and read by all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

_WORKER = "PYTEST_XDIST_WORKER"  # in the environment of each worker where there are several
_UNWATCHED = {"runs"}  # commands that only read leave a report there


def shared_folder(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """The folder of that name, filled by `make` unless a worker of this run has filled it; others
    wait until it is whole. What fails leaves none, so that the next one who asks fails by itself.
    """
    base = factory.getbasetemp()
    shared = (base.parent if _WORKER in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)
    folder, whole = shared / name, shared / f"{name}.whole"
    with FileLock(shared / f"{name}.lock"):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


@contextmanager
def left_alone(folder: Path) -> Iterator[None]:
    """Fails at its end, with their names, for files that somebody has changed, made or removed:
    tests change copies. (A mode would not stop a test that runs as root.)
    """
    before = _stamps(folder)
    yield
    after = _stamps(folder)
    changed = [
        name for name in sorted(before.keys() | after) if before.get(name) != after.get(name)
    ]
    assert not changed, f"a test has changed what all share, {folder}: {', '.join(changed)}"


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
        if not _UNWATCHED & set(path.relative_to(folder).parts)
    }
