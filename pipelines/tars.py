"""Tar files with fixed bytes: USTAR, no times, no owners."""

import os
import tarfile
from collections.abc import Iterator
from typing import IO, Final, NamedTuple, Protocol

from pipelines.errors import DeadInput

_BLOCK: Final = 512


class _Out(Protocol):
    def write(self, content: bytes) -> object: ...
    def tell(self) -> int: ...


class TarWriter:
    """Appends files to a tar whose bytes depend on names and contents alone."""

    def __init__(self, out: _Out) -> None:
        self._out = out

    def add(self, name: str, content: bytes) -> int:
        """Append a file; returns where its content starts."""
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = len(content), 0o644, 0
        self._out.write(info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"))
        offset = self._out.tell()
        self._out.write(content)
        self._out.write(bytes(-len(content) % _BLOCK))
        return offset

    def close(self) -> None:
        """End the archive with two empty blocks."""
        self._out.write(bytes(2 * _BLOCK))


class Member(NamedTuple):
    """A file in a tar: its name, where its bytes start, how many there are, and whether it is a plain file."""

    name: str
    offset: int
    size: int
    is_file: bool


def read_members(opened: IO[bytes]) -> Iterator[Member]:
    """Members of an uncompressed, seekable tar, in order.

    Python's reader ends without a word at a damaged header; this one raises `DeadInput` ("damaged_shard" or "not_a_tar").
    """
    opened.seek(0, os.SEEK_END)
    end = opened.tell()
    opened.seek(0)
    if opened.read(2) == b"\x1f\x8b":
        raise DeadInput("compressed_shard", "is compressed: members of a gzip cannot be read in place; unpack it first (gunzip)")
    opened.seek(0)
    try:
        tar = tarfile.open(fileobj=opened, mode="r:", errors="surrogateescape")  # noqa: SIM115  the file is the caller's
    except (tarfile.TarError, EOFError) as error:
        raise DeadInput("not_a_tar", f"is no tar file: {error}") from error
    while True:
        try:
            info = tar.next()
        except (tarfile.TarError, EOFError, ValueError, OSError) as error:
            raise DeadInput("damaged_shard", f"is damaged at byte {tar.offset}: {error}") from error
        if info is None:
            break
        if info.isreg() and info.offset_data + info.size > end:
            raise DeadInput("damaged_shard", f"ends at byte {end}, inside {info.name!r}: it was cut off, or a size in it is wrong")
        tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has read
        yield Member(info.name, info.offset_data, info.size, info.isreg() and not info.issparse())
    opened.seek(tar.offset)
    rest = opened.read(_BLOCK)
    if rest.strip(b"\0"):
        raise DeadInput("damaged_shard", f"has a damaged header at byte {tar.offset}; what follows is not read")


def sample_offsets(opened: IO[bytes]) -> list[int]:
    """Where each sample of a shard begins, its first header included, and where the last one ends. Raises `DeadInput` as `read_members`.

    A sample's members follow one another and share a key: the name up to the first dot of its last part, as stock readers have it.
    """
    offsets, end, before = [], 0, None
    for member in read_members(opened):
        folder, slash, last = member.name.rpartition("/")
        key = folder + slash + last.partition(".")[0]
        if key != before:
            offsets.append(end)
        before, end = key, member.offset + member.size + -member.size % _BLOCK
    return [*offsets, end]
