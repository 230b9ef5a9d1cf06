"""The shards that a target names: a build, a folder of tars, a glob, a file, or a URL of one."""

import gzip
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import IO, Final, NamedTuple, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipelines.build.tables import DATASET
from pipelines.errors import (
    DeadInput,
    PipelineError,
    WrongArgument,
    is_of_the_machine,
    machine_faults,
    readable,
)
from pipelines.extras import naming_extras
from pipelines.guarded.json_objects import json_record
from pipelines.storage.temporary import temporary_root
from schemas.errors import SchemaError
from schemas.identity import Bucket, Split
from schemas.record import Record
from schemas.shard import DatasetFile, ListedShard, ShardIndex

SUFFIXES: Final = (".tar", ".tar.gz", ".tgz")
# bytes; a shard is meant to be a few hundred MB, and a gzip can claim a thousand times its size
UNPACKED_LIMIT: Final = 4 << 30
_IN_MEMORY: Final = 32 << 20  # a larger gzip is unpacked into a file without a name
_BLOCK: Final = 1 << 20
_SMALL: Final = 32 << 20  # bytes of the dataset.json of a hundred thousand shards


class ShardProblem(Record):
    """Something in a shard that is not as it should be.

    `key` is empty where it concerns the shard as a whole.
    """

    shard: str
    key: str
    code: str
    message: str


class Shard(NamedTuple):
    """A shard by its address; `name` is the path within the target, as it is shown."""

    fs: fsspec.AbstractFileSystem
    path: str
    name: str

    @property
    def split(self) -> Split | None:
        """The split that our names state; none for any other name."""
        try:
            return Bucket.parse(self.stem).split
        except SchemaError:
            return None

    @property
    def stem(self) -> str:
        """The name without folders and suffix: ``train-00000``."""
        last = PurePosixPath(self.name).name
        return next(
            (last.removesuffix(suffix) for suffix in SUFFIXES if last.endswith(suffix)), last
        )

    @property
    def url(self) -> str:
        """The URL, or the path of a local file."""
        return readable(
            self.path
            if isinstance(self.fs, LocalFileSystem)
            else self.fs.unstrip_protocol(self.path)
        )


class FoundShards(NamedTuple):
    """The shards of a target in order, what is wrong with the set of them, and what a build's
    dataset.json says of each, by path.
    """

    shards: tuple[Shard, ...]
    problems: tuple[ShardProblem, ...]
    listed: Mapping[str, ListedShard] = MappingProxyType({})
    build: str = ""  # the URL of a whole build, whose versions vouch for its dataset.json


def find_shards(target: str) -> FoundShards:
    """The shards of a target.

    Of a build, those that its dataset.json lists; others beside them are a problem.

    Raises `PipelineError` where there is nothing, or no shard in it.
    """
    fs, path = _located(target)
    try:
        return _shards_at(fs, path, readable(target))
    except OSError as error:
        raise PipelineError(f"{readable(target)} cannot be read: {error}") from error


def _shards_at(fs: fsspec.AbstractFileSystem, path: str, target: str) -> FoundShards:
    is_local = isinstance(fs, LocalFileSystem)
    # an HTTP server would send the shard to say whether it is a folder
    if not is_local and path.endswith(SUFFIXES) and "*" not in path:
        paths = [path]
    elif any(sign in path for sign in "*?[") and not fs.exists(path):
        matches = [str(match) for match in fs.glob(path)]
        paths = [match for match in matches if not _hidden(match)]
    elif fs.isdir(path):
        if fs.isdir(f"{path}/shards"):
            return _of_build(fs, path, target)
        paths = _listed(fs, path)
    elif fs.exists(path) or (is_local and os.path.lexists(path)):
        paths = [path]
    else:
        raise WrongArgument(
            f"{target} does not exist: name a build, a folder of tars, "
            "a glob, a .tar or .tar.gz file, or a URL of these"
        )
    return _some(fs, paths, target)


def _of_build(fs: fsspec.AbstractFileSystem, folder: str, target: str) -> FoundShards:
    """The shards below a folder, those in force where it is a build that ended."""
    paths = _listed(fs, f"{folder}/shards")
    if fs.exists(f"{folder}/{DATASET}"):
        return _in_force(fs, folder, paths)
    return _some(fs, paths, target)


def _some(fs: fsspec.AbstractFileSystem, paths: list[str], target: str) -> FoundShards:
    if not paths:
        below = f"for shards in folders below, name a glob such as '{target}/**/*.tar'"
        raise WrongArgument(f"{target} holds no shards (*{', *'.join(SUFFIXES)}); {below}")
    return FoundShards(_named(fs, paths), ())


def _located(target: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        with naming_extras():
            fs, path = fsspec.core.url_to_fs(target)
    except (ValueError, ImportError) as error:
        raise PipelineError(f"{readable(target)} cannot be reached: {error}") from error
    return fs, path.rstrip("/") or "/"


def _listed(fs: fsspec.AbstractFileSystem, folder: str) -> list[str]:
    """Shards right in a folder. Hidden files are a writer's unfinished work."""
    rows = [row for row in fs.ls(folder, detail=True) if row["type"] != "directory"]
    names = [str(row["name"]) for row in rows]
    return [name for name in names if name.endswith(SUFFIXES) and not _hidden(name)]


def _hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".")


def _named(fs: fsspec.AbstractFileSystem, paths: list[str]) -> tuple[Shard, ...]:
    common = os.path.commonpath([os.path.dirname(path) for path in paths])
    return tuple(
        Shard(fs, path, readable(os.path.relpath(path, common) if common else path))
        for path in sorted(paths)
    )


def _in_force(fs: fsspec.AbstractFileSystem, root: str, paths: list[str]) -> FoundShards:
    try:
        stated = dataset_file(_small(Shard(fs, f"{root}/{DATASET}", DATASET))).shards
    except DeadInput as error:
        raise PipelineError(
            f"{readable(root)}/dataset.json cannot be read ({error}); "
            f"name the folder {readable(root)}/shards instead"
        ) from error
    if stated is None:
        raise PipelineError(
            f"{readable(root)}/dataset.json lists no shards; "
            f"name the folder {readable(root)}/shards instead"
        )
    listed = {
        f"{root}/{row.file}": row for row in stated if "/" in row.file and ".." not in row.file
    }
    shards = _named(fs, sorted(listed.keys() | set(paths)))
    left = "is not in dataset.json: the build is unfinished, or the file is left over from another"
    problems = tuple(
        ShardProblem(shard=shard.name, key="", code="unlisted", message=left)
        for shard in shards
        if shard.path not in listed
    )
    build = root if isinstance(fs, LocalFileSystem) else str(fs.unstrip_protocol(root))
    return FoundShards(
        tuple(shard for shard in shards if shard.path in listed), problems, listed, build
    )


def dataset_file(content: bytes) -> DatasetFile:
    """What is read of a dataset.json. Raises `DeadInput` where it cannot be."""
    return json_record(DatasetFile, content, _SMALL)


class Opened(NamedTuple):
    """A shard's tar, seekable, and why it ends early where a gzip did."""

    file: IO[bytes]
    cut: str


@contextmanager
def opened_shard(shard: Shard, unpacked_limit: int = UNPACKED_LIMIT) -> Iterator[Opened]:
    """A shard to read from; a gzip is unpacked up to a limit in bytes, as far as it is whole.

    Raises `DeadInput` for what is not a regular file or cannot be opened.
    """
    with open_file(shard) as file, tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
        temporary_root()  # before it is needed, and not found
        out = cast("IO[bytes]", spooled)
        magic = file.read(2)
        if magic == b"\x1f\x8b":
            yield Opened(out, _unpacked(magic, file, out, unpacked_limit))
        elif _can_seek(file):
            yield Opened(file, "")
        else:
            yield Opened(out, _copied(magic, file, out, unpacked_limit))


def open_file(shard: Shard) -> IO[bytes]:
    """The file to read from.

    Raises `DeadInput`; a FIFO or device is refused without waiting on it.
    """
    try:
        with machine_faults(f"opening {readable(shard.name)}"):
            if not isinstance(shard.fs, LocalFileSystem):
                return cast("IO[bytes]", shard.fs.open(shard.path, "rb"))
            file = os.fdopen(os.open(shard.path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DeadInput("unreadable", f"cannot be opened: {reason}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise DeadInput("not_a_file", "is a pipe, socket, device or folder, not a regular file")
    return file


def _can_seek(file: IO[bytes]) -> bool:
    """Whether a file can be read in any order: an HTTP server without ranges gives a stream."""
    try:
        file.seek(0, os.SEEK_END)
        file.seek(0)
    except (ValueError, OSError) as error:
        if is_of_the_machine(error):
            raise
        return False
    return True


def _unpacked(magic: bytes, file: IO[bytes], out: IO[bytes], limit: int) -> str:
    """Unpack a gzip whose first bytes were read; gives why it ended early, or nothing."""
    try:
        with gzip.GzipFile(fileobj=cast("IO[bytes]", _Rejoined(magic, file))) as packed:
            return _copied(b"", cast("IO[bytes]", packed), out, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"is a damaged gzip ({error}): only what comes before is read"


def _copied(start: bytes, file: IO[bytes], out: IO[bytes], limit: int) -> str:
    """Copy a stream; gives why it ended early, or nothing."""
    out.write(start)
    # what is whole before damage, and not an error for the block around it
    read = getattr(file, "read1", file.read)
    while block := read(_BLOCK):
        if out.tell() + len(block) > limit:
            return (
                f"unpacks to more than {limit / 2**30:.3g} GiB; "
                "what follows is not read. Unpack or fetch it first"
            )
        out.write(block)
    return ""


class _Rejoined:
    """A stream whose first bytes were read already."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start, self._file = start, file

    def read(self, size: int = -1) -> bytes:
        """The first bytes alone, then the rest."""
        start, self._start = self._start, b""
        return start or self._file.read(size)


def _small(shard: Shard) -> bytes:
    """A small file whole; a larger one is cut, and then no JSON."""
    with open_file(shard) as file:
        return file.read(_SMALL)


def index_of(shard: Shard) -> ShardIndex | None:
    """The index beside one of our shards, or none.

    Raises `DeadInput` ("bad_index") where it cannot be read, or contradicts itself.
    """
    beside = shard._replace(path=f"{os.path.dirname(shard.path)}/{shard.stem}.json")
    if not shard.fs.exists(beside.path):
        return None
    try:
        with machine_faults(f"reading {readable(beside.name)}"):
            return json_record(ShardIndex, _small(beside))
    except (OSError, DeadInput) as error:
        if shard.split is None:  # another's file, of another purpose
            return None
        raise DeadInput(
            "bad_index",
            f"the index beside it, {shard.stem}.json, cannot be used: {readable(str(error))}",
        ) from error
