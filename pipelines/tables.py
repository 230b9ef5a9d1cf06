"""Records as Arrow tables, many at a time, without a Python object per cell."""

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from pipelines.store import Store, arrow_schema
from schemas.record import Record

_BATCH: Final = 4096


@lru_cache
def _adapter(kind: type[Record]) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[kind])  # type: ignore[valid-type]


def table_of(kind: type[Record], records: Sequence[Record]) -> pa.Table:
    """Records as a table with the columns of their kind."""
    return pa.Table.from_pylist(_adapter(kind).dump_python(list(records)), schema=arrow_schema(kind))


def tables_of(kind: type[Record], records: Iterable[Record]) -> Iterator[pa.Table]:
    """Any number of records as tables of a few thousand rows."""
    remaining = iter(records)
    while batch := list(islice(remaining, _BATCH)):
        yield table_of(kind, batch)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a parquet file. Same rows, same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_table(store: Store, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A parquet file of a store as a table, whole or some columns."""
    with store.open(name) as opened:
        return pq.read_table(opened, columns=columns)


def runs(stream: Iterable[pa.Table], column: str) -> Iterator[tuple[Any, pa.Table]]:
    """Consecutive rows with the same value of a column, which is left out; one run is held at a time."""
    held: list[pa.Table] = []
    value: Any = None
    for table in stream:
        marks = table.column(column).to_pylist()
        rest = table.drop_columns([column])
        start = 0
        for end in (*(place for place in range(1, len(marks)) if marks[place] != marks[place - 1]), len(marks)):
            if held and marks[start] != value:
                yield value, pa.concat_tables(held)
                held = []
            value = marks[start]
            held.append(rest.slice(start, end - start))
            start = end
    if held:
        yield value, pa.concat_tables(held)
