"""Tar files with fixed bytes: USTAR, no times, no owners."""

import os
import tarfile
from collections.abc import Iterator
from typing import IO, Final, NamedTuple, Protocol, cast

from pipelines.errors import DeadInput, is_of_the_machine, machine_faults

_BLOCK: Final = 512
# bytes of all that stands before one member's content: long names, comments, maps of sparse files
_HEADER_LIMIT: Final = 1 << 20


class _TarOutput(Protocol):
    def write(self, content: bytes) -> object: ...
    def tell(self) -> int: ...


class TarWriter:
    """Appends files to a tar whose bytes depend on names and contents alone."""

    def __init__(self, out: _TarOutput) -> None:
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
    """A file in a tar: its name, where its bytes start, how many, and whether it is plain."""

    name: str
    offset: int
    size: int
    is_file: bool


def read_members(opened: IO[bytes]) -> Iterator[Member]:
    """Members of an uncompressed, seekable tar, in order, whoever made it.

    Python's reader ends without a word at a damaged header, believes any size, and follows a
    negative one back for ever; this one raises `DeadInput` ("damaged_shard" or "not_a_tar"), takes
    no more than a MiB for what stands before a member, and only goes on.
    """
    opened.seek(0, os.SEEK_END)
    end = opened.tell()
    opened.seek(0)
    if opened.read(2) == b"\x1f\x8b":
        raise DeadInput(
            "compressed_shard",
            "is compressed: members of a gzip cannot be read in place; unpack it first (gunzip)",
        )
    opened.seek(0)
    careful = _Careful(opened)
    try:
        # The caller closes it.
        tar = tarfile.open(fileobj=cast("IO[bytes]", careful), mode="r:", errors="surrogateescape")  # noqa: SIM115
    except (tarfile.TarError, EOFError) as error:
        code, what = (
            ("damaged_shard", "is damaged at its start")
            if careful.refused
            else ("not_a_tar", "is not a tar file")
        )
        raise DeadInput(code, f"{what}: {error}") from error
    except _DAMAGE as error:
        _raise_fault(error)
        raise DeadInput("damaged_shard", f"is damaged at its start: {_reason(error)}") from error
    last = -1
    while (info := _next(tar, careful)) is not None:
        if info.size < 0 or info.offset_data <= last:
            raise DeadInput("damaged_shard", f"is damaged: {info.name!r} has a negative size")
        if info.isreg() and info.offset_data + info.size > end:
            raise DeadInput(
                "damaged_shard",
                (
                    f"ends at byte {end}, inside {info.name!r}: "
                    "it was cut off, or a size in it is wrong"
                ),
            )
        last = info.offset_data
        yield Member(info.name, info.offset_data, info.size, info.isreg() and not info.issparse())
    opened.seek(tar.offset)
    if opened.read(_BLOCK).strip(b"\0"):
        raise DeadInput(
            "damaged_shard", f"has a damaged header at byte {tar.offset}; what follows is not read"
        )


# What Python's reader makes of a hostile header, beside errors of its own.
_DAMAGE: Final = (
    tarfile.TarError,
    EOFError,
    ValueError,
    OSError,
    OverflowError,
    RecursionError,
    MemoryError,
)


def _next(tar: tarfile.TarFile, careful: "_Careful") -> tarfile.TarInfo | None:
    """The next header, or none at the end."""
    careful.left = _HEADER_LIMIT
    try:
        info = tar.next()
    except _DAMAGE as error:
        _raise_fault(error)
        raise DeadInput(
            "damaged_shard", f"is damaged at byte {tar.offset}: {_reason(error)}"
        ) from error
    tar.members = []  # type: ignore[attr-defined]  # tarfile keeps every header it has read
    # what global headers say piles up
    if tar.pax_headers and sum(map(len, tar.pax_headers.values())) > _HEADER_LIMIT:
        raise DeadInput(
            "damaged_shard",
            (
                f"is damaged at byte {tar.offset}: its global "
                f"headers hold more than {_HEADER_LIMIT} characters"
            ),
        )
    return info


def _raise_fault(error: BaseException) -> None:
    """Raise `MachineFault` where an error is the machine's."""
    with machine_faults("reading a tar"):
        if is_of_the_machine(error):
            raise error


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


class _Careful:
    """A file for `tarfile`, which reads headers alone: one that claims to be a terabyte long must
    not be believed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read
        self.left = _HEADER_LIMIT
        self.refused = False

    def read(self, size: int) -> bytes:
        """Bytes of headers, so many at most until `left` is set anew."""
        self.left -= size
        if size < 0 or self.left < 0:
            self.refused = True
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._read(size)


def sample_offsets(opened: IO[bytes]) -> list[int]:
    """Where each sample of a shard begins, its first header included, and where the last one ends.

    Raises `DeadInput` as `read_members`.

    A sample's members follow one another and share a key: the name up to the first dot of its last
    part, as stock readers have it.
    """
    offsets, end, before = [], 0, None
    for member in read_members(opened):
        folder, slash, last = member.name.rpartition("/")
        key = folder + slash + last.partition(".")[0]
        if key != before:
            offsets.append(end)
        before, end = key, member.offset + member.size + -member.size % _BLOCK
    return [*offsets, end]
