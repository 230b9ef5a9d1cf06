"""Temporary folders of this process.

What a killed one left behind is removed by the next that needs one.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, cast

import psutil

from pipelines.errors import MachineFault, machine_faults

# of a pipeline's driver; ours leave it empty, and its name does not say whose it is
_BEAMS: Final = "beam-pipeline-temp*"
_OLD_S: Final = 86_400.0


def pid_namespace() -> int:
    """Number of the namespace in which this process's id counts: containers have their own."""
    with suppress(OSError):
        return os.stat("/proc/self/ns/pid").st_ino
    return 0


@lru_cache
def boot_id() -> str:
    """What the kernel calls this boot of this host; empty where it does not say."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def temporary_root() -> str:
    """The folder in which temporary files lie. Raises `MachineFault` where no disk takes any."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise MachineFault(
            f"temporary files find no place: {error.strerror}; "
            "make room there, or set TMPDIR, then run again"
        ) from error


@contextmanager
def temporary_file(what: str, *, named: bool = False) -> Iterator[IO[bytes]]:
    """A file to unpack `what` into, removed when the block ends.

    Raises `MachineFault` where there is no room for it, naming both.
    """
    make = tempfile.NamedTemporaryFile if named else tempfile.TemporaryFile
    with machine_faults(f"{what}, unpacked into {temporary_root()}"), make() as file:
        yield cast("IO[bytes]", file)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed when the block ends.

    Raises `MachineFault` where no disk takes any.
    """
    temporary_root()
    _sweep(os.getpid())
    with tempfile.TemporaryDirectory(
        prefix=f"{_mine()}{os.getpid()}-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _mine() -> str:
    return f"obbligato-{boot_id()[:8]}-{pid_namespace()}-{os.getuid()}-"


@lru_cache(maxsize=1)
def _sweep(_pid: int) -> None:
    """Remove the folders of processes that are gone, and old empty ones of Beam's, once in the life
    of a process.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_mine()}*"):
        pid = left.name.removeprefix(_mine()).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    for left in Path(tempfile.gettempdir()).glob(_BEAMS):
        with suppress(OSError):  # not empty, or another's
            if time.time() - left.lstat().st_mtime > _OLD_S:
                left.rmdir()
