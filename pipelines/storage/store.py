"""Files of a build on any fsspec URL: published whole or not at all, tables of records, fixed
bytes.
"""

import hashlib
import io
import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import IO, Any, Final, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from pydantic import ValidationError

from pipelines.errors import Damaged, MachineFault, PipelineError, is_of_the_machine, machine_faults
from pipelines.storage import remote
from pipelines.storage.remote import OBJECT_STORES, RemoteFile, located, remote_errors
from pipelines.storage.temporary import temporary_folder, temporary_root
from schemas.record import Record
from schemas.shape import Shape, shape_of

R = TypeVar("R", bound=Record)
_TEMPORARY = ".part-"  # a name no reader looks at; strays are swept when a bucket is done again
_BLOCK = 1 << 20
_ARROW = {"float": pa.float64(), "int": pa.int64(), "string": pa.string(), "bool": pa.bool_()}


class Published(NamedTuple):
    """A file that was published: its name in the store, bytes and SHA-256."""

    name: str
    bytes: int
    sha256: str


class FileWriter:
    """A file being written, counted and hashed as it goes."""

    def __init__(self, name: str, out: IO[bytes], doing: str) -> None:
        self._name, self._out, self._doing, self._digest, self._bytes = (
            name,
            out,
            doing,
            hashlib.sha256(),
            0,
        )
        self.fault: MachineFault | None = (
            None  # that a write has met, for those who write by way of a library that hides it
        )

    def write(self, content: bytes) -> None:
        """Append bytes. Raises `MachineFault` where there is no room for them, naming the file."""
        try:
            with machine_faults(self._doing):
                self._out.write(content)
        except MachineFault as fault:
            self.fault = fault
            raise
        self._digest.update(content)
        self._bytes += len(content)

    def flush(self) -> None:
        """Hand on what is written; for those who write into any file."""
        self._out.flush()

    def tell(self) -> int:
        """Bytes written so far."""
        return self._bytes

    def published(self) -> Published:
        """What was written; to be asked after the writer's block has ended."""
        return Published(self._name, self._bytes, self._digest.hexdigest())


class Store:
    """One folder, local or remote, by its fsspec URL.

    Threads may share one; processes make their own from the URL, forked ones too.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") or "/"
        self._fs, root = located(self.url)
        self.root = root.rstrip("/")
        self._pid = os.getpid()
        self.is_local = isinstance(self._fs, LocalFileSystem)

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        """Pickled as its URL."""
        return Store, (self.url,)

    @property
    def fs(self) -> Any:
        """The file system.

        A forked process makes a new one, because the thread that serves the connections stayed with
        its parent.
        """
        if self._pid != os.getpid():
            self._fs, self._pid = located(self.url)[0], os.getpid()
        return self._fs

    def path(self, name: str) -> str:
        """Path of a file of this store, as its file system wants it."""
        return f"{self.root}/{name}"

    def _border(self, name: str) -> AbstractContextManager[None]:
        return nullcontext() if self.is_local else remote_errors(f"{self.url}/{name}")

    def exists(self, name: str) -> bool:
        """Whether a file is there, whole."""
        with self._border(name):
            return bool(self.fs.exists(self.path(name)))

    def size(self, name: str) -> int | None:
        """Bytes of a file, or none where it is missing."""
        try:
            with self._border(name):
                return int(self.fs.size(self.path(name)))
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted; none where there is no folder.

        On object stores only files make a folder.
        """
        inside = f"{self.path(folder)}/"
        if self.is_local and not os.path.isdir(inside):
            return []
        try:
            with self._border(folder):
                self.fs.invalidate_cache(self.path(folder))
                found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        names = (
            path.removeprefix(inside)
            for path in found
            if path != inside and path.startswith(inside)
        )
        return sorted(name for name in names if not name.startswith(_TEMPORARY))

    def delete(self, name: str) -> None:
        """Remove a file if it is there."""
        try:
            with self._border(name):
                self.fs.rm_file(self.path(name))
        except FileNotFoundError:
            return

    def read_bytes(self, name: str) -> bytes:
        """A file's bytes."""
        with self._border(name):
            return bytes(self.fs.cat_file(self.path(name)))

    def open(self, name: str) -> IO[bytes]:
        """A file to read from, seekable."""
        if isinstance(
            self.fs, MemoryFileSystem
        ):  # its files have one position for all who read them
            return io.BytesIO(self.read_bytes(name))
        with self._border(name):
            opened: IO[bytes] = self.fs.open(self.path(name), "rb")
        return (
            opened
            if self.is_local
            else io.BufferedReader(RemoteFile(opened, f"{self.url}/{name}"), _BLOCK)
        )

    @contextmanager
    def at_hand(self, name: str) -> Iterator[str]:
        """A local path of a file: its own, or that of a copy which is removed afterwards."""
        if self.is_local:
            yield self.path(name)
            return
        with temporary_folder() as folder:
            local = f"{folder}/{name.rpartition('/')[2]}"
            with self._border(name):
                self.fs.get_file(self.path(name), local)
            yield local

    def write_bytes(self, name: str, content: bytes) -> Published:
        """Publish a file whole: readers see the old one or the new one."""
        with self.writer(name) as out:
            out.write(content)
        return out.published()

    def writer(self, name: str) -> AbstractContextManager[FileWriter]:
        """A file to write to, published when the block ends without an error.

        Raises `MachineFault` where its disk takes no more.

        Locally: a temporary name in the same folder, flushed to disk, then renamed. Elsewhere: a
        nameless local file, uploaded at the end; object stores show an upload only once it is
        complete. Memory use does not grow with the file.
        """
        return self._renamed(name) if self.is_local else self._uploaded(name)

    @contextmanager
    def _renamed(self, name: str) -> Iterator[FileWriter]:
        path = self.path(name)
        doing = f"writing {path}"
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/{_TEMPORARY}{last[:40]}-{uuid.uuid4().hex}"
        with machine_faults(doing):
            os.makedirs(folder or "/", exist_ok=True)
            # Closed below, without an error that would hide the first one.
            out = open(temporary, "wb")  # noqa: SIM115
        try:
            yield FileWriter(name, out, doing)
            with machine_faults(doing):
                out.flush()
                os.fsync(out.fileno())
                out.close()
                os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                out.close()
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise

    @contextmanager
    def _uploaded(self, name: str) -> Iterator[FileWriter]:
        doing = f"writing {self.url}/{name} by way of {temporary_root()}"
        with (
            tempfile.TemporaryFile() as out
        ):  # nameless: nothing is left of it when this process is killed
            yield FileWriter(name, out, doing)
            with machine_faults(doing):
                out.flush()
            self._upload(out, name)

    def _upload(self, content: IO[bytes], name: str) -> None:
        path, size, local = (
            self.path(name),
            content.seek(0, io.SEEK_END),
            f"/proc/self/fd/{content.fileno()}",
        )
        content.seek(0)
        is_object_store = self.url.partition("://")[0] in OBJECT_STORES
        try:
            with self._border(name):
                if not is_object_store:  # those have no folders, and s3fs would make the bucket
                    self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                if size < _BLOCK or isinstance(self.fs, MemoryFileSystem):
                    self.fs.pipe_file(path, content.read())
                elif is_object_store:
                    self.fs.put_file(local, path, chunksize=remote.part_bytes(size))
                else:
                    self.fs.put_file(local, path)
        except FileNotFoundError as error:
            raise PipelineError(
                f"{self.url}/{name} cannot be written: {error}; check the URL, or create the "
                "bucket first"
            ) from error

    def sweep(self, folder: str, bucket: str) -> None:
        """Remove temporary files that a killed writer of `bucket` left in a folder."""
        for name in _strays(self.path(folder)) if self.is_local else ():
            if name.startswith(f"{_TEMPORARY}{bucket}"):
                with suppress(FileNotFoundError):
                    os.unlink(self.path(f"{folder}/{name}"))

    def write_json(self, name: str, value: Any) -> Published:
        """Publish a value as JSON with sorted keys."""
        return self.write_bytes(
            name,
            json.dumps(
                value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False
            ).encode()
            + b"\n",
        )

    def read_json(self, name: str) -> Any:
        """A value from JSON. Raises `Damaged` for a file that is none."""
        try:
            return json.loads(self.read_bytes(name))
        except (ValueError, RecursionError) as error:
            raise Damaged(
                f"{self.url}/{name} is not JSON ({error}); delete it and build again"
            ) from error

    def write_sealed(self, name: str, value: Any) -> Published:
        """Publish a value as JSON beside a hash of it, for what no other file vouches for."""
        return self.write_json(name, {"seal": seal(value), "value": value})

    def read_sealed(self, name: str) -> Any:
        """A value that `write_sealed` wrote; one without a seal is an earlier version's.

        Raises `Damaged` where the two disagree.
        """
        found = self.read_json(name)
        if not isinstance(found, dict) or not {"seal", "value"} & found.keys():
            return found
        if found.keys() != {"seal", "value"} or not _is_sealed(found):
            raise Damaged(
                f"{self.url}/{name} is not what was written: its seal is broken; delete it and "
                "build again"
            )
        return found["value"]

    def read_stated(self, name: str, kind: type[R]) -> R:
        """A sealed value as the record that it is. Raises `Damaged` where it has another form."""
        found = self.read_sealed(name)
        try:
            return kind.model_validate(found)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "as a whole"
            raise Damaged(
                f"{self.url}/{name} is not what was written ({where}: {first['msg']}); delete it "
                "and build again"
            ) from error

    def stated_before(self, name: str, kind: type[R]) -> R | None:
        """What stands from an earlier run.

        None where there is none, or a damaged one, which is made anew.
        """
        try:
            return self.read_stated(name, kind)
        except (FileNotFoundError, Damaged):
            return None

    def sha256(self, name: str) -> str:
        """SHA-256 in hex of a file, read a block at a time."""
        with self.open(name) as opened:
            return sha256_of(opened)

    def write_records(self, name: str, kind: type[Record], records: Iterable[Record]) -> Published:
        """Publish records as one parquet file. Same records, same bytes."""
        rows = [record.model_dump(mode="json") for record in records]
        return self.write_bytes(
            name, parquet_bytes(pa.Table.from_pylist(rows, schema=arrow_schema(kind)))
        )

    def read_records(self, name: str, kind: type[R]) -> list[R]:
        """Records of a parquet file that `write_records` made. Raises `Damaged`."""
        with self.parquet(name) as parquet:
            return [kind.model_validate(row) for row in parquet.read(use_threads=False).to_pylist()]

    @contextmanager
    def parquet(self, name: str) -> Iterator[pq.ParquetFile]:
        """A table to read from, every page of which is checked as it is read.

        Raises `Damaged` where one is not what was written.
        """
        try:
            with (
                self.open(name) as opened,
                pq.ParquetFile(opened, page_checksum_verification=True) as parquet,
            ):
                yield parquet
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValidationError, UnicodeDecodeError, KeyError) as error:
            if is_of_the_machine(error):
                raise
            first = str(error).partition("\n")[0]
            raise Damaged(
                f"{self.url}/{name} is not what was written ({first}); run obbligato verify, "
                "then build again"
            ) from error


@lru_cache(maxsize=64)
def _strays(folder: str) -> tuple[str, ...]:
    """Temporary files in a folder when this process first looked: one look, because there may be as
    many buckets as files.
    """
    return (
        tuple(name for name in os.listdir(folder) if name.startswith(_TEMPORARY))
        if os.path.isdir(folder)
        else ()
    )


def sha256_of(opened: IO[bytes]) -> str:
    """SHA-256 in hex of what is left to read of a file, a block at a time."""
    digest = hashlib.sha256()
    while block := opened.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _is_sealed(found: dict[str, Any]) -> bool:
    try:
        return bool(found["seal"] == seal(found["value"]))
    except RecursionError:  # nested deeper than anybody writes
        return False


def digest(value: Any) -> str:
    """Hash of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def seal(value: Any) -> str:
    """A short hash of a JSON value, whatever the order of its keys: sixteen hex digits, which tell
    damage, and no forgery.
    """
    return digest(value)[:16]


# Pages carry checksums, so that whoever reads one row of a table needs not read it whole to trust
# it.
PARQUET: Final[dict[str, Any]] = {"compression": "zstd", "write_page_checksum": True}


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a parquet file. Same rows, same bytes, however they are chunked."""
    buffer = io.BytesIO()
    pq.write_table(table.combine_chunks(), buffer, **PARQUET)
    return buffer.getvalue()


def arrow_schema(kind: type[Record]) -> pa.Schema:
    """Columns of a record, so that empty lists and nulls have the same type in every file."""
    shape = shape_of(kind)
    if not isinstance(shape, dict):
        raise PipelineError(f"{kind.__name__} is not a record")
    return pa.schema([(name, _arrow(inner)) for name, inner in shape.items()])


def _arrow(shape: Shape) -> pa.DataType:
    if isinstance(shape, dict):
        return pa.struct([(name, _arrow(inner)) for name, inner in shape.items()])
    if isinstance(shape, list):
        return pa.list_(_arrow(shape[0]))
    return _ARROW[shape]
