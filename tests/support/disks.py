"""Small disks of a test's own: a limited tmpfs, or ext4 in a file, that can be filled and emptied
again. They need root.
"""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

FileSystem = Literal["tmpfs", "ext4"]
_BALLAST = "ballast"
_BLOCK = 4 << 20


class CannotMount(Exception):
    """Nobody lets this process mount anything."""


class Disk:
    """A mounted disk of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, free_bytes: int) -> None:
        """Fill it until so many bytes are free, within what a block holds."""
        self.empty()
        ballast = os.open(self.folder / _BALLAST, os.O_CREAT | os.O_WRONLY)
        try:
            while (surplus := self._free() - free_bytes) > 0:
                os.write(ballast, bytes(min(surplus, _BLOCK)))
                # a file system that writes late does not know before how much is left
                os.fsync(ballast)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        finally:
            os.close(ballast)

    def _free(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def empty(self) -> None:
        """Make room again."""
        (self.folder / _BALLAST).unlink(missing_ok=True)


@contextmanager
def mounted(folder: Path, size_mb: int = 64, kind: FileSystem = "tmpfs") -> Iterator[Disk]:
    """A disk of so many MiB at a new folder. Raises `CannotMount`."""
    folder.mkdir()
    image = folder.with_suffix(".img")
    if kind == "ext4":
        with image.open("wb") as out:
            out.truncate(size_mb << 20)
        _run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image))
        _run("mount", "-o", "loop", str(image), str(folder))
    else:
        _run("mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "obbligato-test", str(folder))
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        image.unlink(missing_ok=True)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", b"") or str(error).encode()
        raise CannotMount(f"{command[0]}: {output.decode(errors='replace').strip()}") from error


def failing_from(file: Path, disk: Disk, share: float) -> None:
    """Make a share of a file on an ext4 disk unreadable, from there to its end: the image it lies
    in is cut off.

    Raises `CannotMount` where the file can still be read.
    """
    os.sync()
    output = subprocess.run(
        ["filefrag", "-v", str(file)], check=True, capture_output=True, text=True
    ).stdout
    first = next(line for line in output.splitlines() if line.strip().startswith("0:"))
    begins = int(first.split(":")[2].split("..")[0]) * os.statvfs(disk.folder).f_bsize
    image = disk.folder.with_suffix(".img")
    os.truncate(image, begins + int(file.stat().st_size * share))
    for path in (file, image):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    try:
        file.read_bytes()
    except OSError:
        return
    raise CannotMount("the file can still be read")
