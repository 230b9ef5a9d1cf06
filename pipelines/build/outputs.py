"""The kinds of output that a step leaves of each bucket or slice: tables, archives with an index,
arrays; and documents of a build.
"""

import io
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import IO, Any, Generic, NamedTuple, TypeVar

import numpy.typing as npt
import pyarrow as pa
from pydantic import ValidationError

from pipelines.errors import Damaged
from pipelines.storage.arrow import npy_bytes, read_table
from pipelines.storage.store import FileWriter, Published, Store, parquet_bytes
from schemas.calibration import Calibration
from schemas.corpus import Dead
from schemas.recipe import Recipe
from schemas.record import Record
from schemas.shard import ShardIndex


class Job(NamedTuple):
    """One bucket of one build. A reference: small, and the same on every worker."""

    out: str  # the build's folder, a URL
    bucket: str
    recipe: Recipe
    # False where whoever shares out the work has found no corrections in the build: on an object
    # store each look for them costs a request
    may_be_corrected: bool = True
    # the one that the recipe chooses, where whoever shares out the work has read it: likewise
    calibration: Calibration | None = None

    @property
    def store(self) -> Store:
        """The build's folder."""
        return Store(self.out)


R = TypeVar("R", bound=Record)


class Partition(StrEnum):
    """What a folder has one file, or set of files, of each of."""

    LISTING = "slices of the listing"
    BUCKETS = "buckets of clips"
    VOCABULARY = "slices of the vocabularies"
    WHOLE = "the whole build"


@dataclass(frozen=True, kw_only=True)
class Output:
    """Files of one kind in a folder of the build, named by bucket or slice."""

    folder: str
    suffix: str
    partition: Partition = Partition.BUCKETS

    def file(self, name: str) -> str:
        """Name in the build of the file of a bucket or slice."""
        return f"{self.folder}/{name}{self.suffix}"

    def path(self, job: Job) -> str:
        """Name in the build of a job's file."""
        return self.file(job.bucket)

    def exists(self, job: Job) -> bool:
        """Whether a job's file is there."""
        return job.store.exists(self.path(job))

    def names(self, store: Store) -> list[str]:
        """Buckets or slices whose files are there, sorted."""
        found = (
            name.removesuffix(self.suffix)
            for name in store.names(self.folder)
            if name.endswith(self.suffix)
        )
        return [name for name in found if "." not in name]

    @property
    def dead(self) -> "Table[Dead]":
        """What died as these files were made; a bucket in which nothing did has no such file."""
        return Table(
            folder=self.folder, suffix=".dead.parquet", partition=self.partition, record=Dead
        )


@dataclass(frozen=True, kw_only=True)
class Table(Output, Generic[R]):
    """Records of one kind, as Parquet. Raises `Damaged` where a file is not what was written."""

    suffix: str = ".parquet"
    record: type[R]

    def read(self, job: Job) -> list[R]:
        """A job's records, in the order in which they were written."""
        return job.store.read_records(self.path(job), self.record)

    def write(self, job: Job, rows: Iterable[R]) -> Published:
        """Publish a job's records. Same records, same bytes."""
        return job.store.write_records(self.path(job), self.record, rows)

    def read_arrow(self, store: Store, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The table of a bucket or slice without an object per row, whole or some columns."""
        return read_table(store, self.file(name), columns)

    def write_arrow(self, job: Job, table: pa.Table) -> Published:
        """Publish a table that has the columns of the record."""
        return job.store.write_bytes(self.path(job), parquet_bytes(table))


@dataclass(frozen=True, kw_only=True)
class Tar(Table[R]):
    """An archive of each bucket, and beside it a table of records that say where each member's
    bytes stand.
    """

    @property
    def archive(self) -> Output:
        """The archive itself; what else is asked of this is the table."""
        return Output(folder=self.folder, suffix=".tar", partition=self.partition)

    def writer(self, job: Job) -> AbstractContextManager[FileWriter]:
        """A job's archive, to be written."""
        return job.store.writer(self.archive.path(job))

    def open(self, job: Job) -> IO[bytes]:
        """A job's archive, to be read in place."""
        return job.store.open(self.archive.path(job))


@dataclass(frozen=True, kw_only=True)
class Shards(Output):
    """WebDataset shards, and beside each the index that describes it."""

    suffix: str = ".tar"

    @property
    def index(self) -> Output:
        """The files of the indexes."""
        return replace(self, suffix=".json")

    def writer(self, job: Job) -> AbstractContextManager[FileWriter]:
        """A job's shard, to be written."""
        return job.store.writer(self.path(job))

    def write_index(self, job: Job, index: ShardIndex) -> Published:
        """Publish the index of a job's shard."""
        return job.store.write_json(self.index.path(job), index.model_dump(mode="json"))

    def read_index(self, job: Job) -> ShardIndex:
        """The index of a job's shard. Raises `Damaged` where it is not one."""
        name = self.index.path(job)
        try:
            return ShardIndex.model_validate_json(job.store.read_bytes(name))
        except ValidationError as error:
            raise Damaged(
                f"{job.out}/{name} is not what was written; run again, and it is made anew"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Texts(Output):
    """Rows of text in Arrow's own format, which can be mapped into memory."""

    suffix: str = ".arrow"
    schema: pa.Schema

    def content(self, columns: dict[str, list[str]]) -> bytes:
        """The bytes of a file with these columns."""
        table = pa.Table.from_pydict(columns, schema=self.schema)
        out = io.BytesIO()
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
        return out.getvalue()

    def read_column(self, store: Store, name: str, column: str) -> list[str]:
        """A column of a slice, in order."""
        with store.open(self.file(name)) as opened:
            values: list[str] = pa.ipc.open_file(opened).read_all().column(column).to_pylist()
        return values


@dataclass(frozen=True, kw_only=True)
class Arrays(Output):
    """One NumPy array of each slice, which can be mapped into memory."""

    suffix: str = ".npy"

    def write(self, job: Job, array: npt.NDArray[Any]) -> Published:
        """Publish a job's array."""
        return job.store.write_bytes(self.path(job), npy_bytes(array))


@dataclass(frozen=True, kw_only=True)
class Document(Generic[R]):
    """A record that a build has one of, as JSON beside a hash of it."""

    name: str
    record: type[R]

    def read(self, store: Store) -> R:
        """What stands. Raises `Damaged`, and `FileNotFoundError` where there is none."""
        return store.read_stated(self.name, self.record)

    def read_before(self, store: Store) -> R | None:
        """What stands from an earlier run.

        None where there is none, or a damaged one, which is made anew.
        """
        return store.stated_before(self.name, self.record)

    def write(self, store: Store, value: R) -> Published:
        """Publish it."""
        return store.write_sealed(self.name, value.model_dump(mode="json"))

    def exists(self, store: Store) -> bool:
        """Whether it is there."""
        return store.exists(self.name)
