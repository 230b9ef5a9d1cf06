"""Records as Arrow tables, many at a time, without a Python object per cell."""

import gc
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import TypeAdapter

from pipelines.storage.store import Store, arrow_schema
from schemas.record import Record

T = TypeVar("T")
R = TypeVar("R")
N = TypeVar("N", bound=Record)
_BATCH: Final = 4096
_BATCH_BYTES: Final = 64 << 20
# small files in hand at once: each waits for a flush, or for an object store's answer, longer than
# it works
_HANDS: Final = 8


@lru_cache
def _adapter(kind: type[Record]) -> TypeAdapter[list[Any]]:
    return TypeAdapter(list[kind])  # type: ignore[valid-type]


def table_of(kind: type[Record], records: Sequence[Record]) -> pa.Table:
    """Records as a table with the columns of their kind."""
    return pa.Table.from_pylist(
        _adapter(kind).dump_python(list(records)), schema=arrow_schema(kind)
    )


def tables_of(
    kind: type[N], records: Iterable[N], size_of: Callable[[N], int] = lambda _: 0
) -> Iterator[pa.Table]:
    """Any number of records as tables of a few thousand rows, or of fewer where `size_of` them says
    that they are 64 MiB together.
    """
    remaining = iter(records)
    while table := _next_table(kind, remaining, size_of):
        yield table


def _next_table(
    kind: type[N], records: Iterator[N], size_of: Callable[[N], int]
) -> pa.Table | None:
    """The next rows.

    Python looks for garbage in between, not among them: that took half of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        batch: list[N] = []
        size = 0
        for record in islice(records, _BATCH):
            batch.append(record)
            size += size_of(record)
            if size > _BATCH_BYTES:
                break
        return table_of(kind, batch) if batch else None
    finally:
        if collects:
            gc.enable()


def npy_bytes(array: npt.NDArray[Any]) -> bytes:
    """An array as a NumPy file, which can be mapped into memory."""
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def read_table(store: Store, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A parquet file of a store as a table, whole or some columns."""
    with store.parquet(name) as parquet:
        return parquet.read(columns=columns, use_threads=False)


def first_row(store: Store, name: str) -> list[dict[str, Any]]:
    """The first row of a parquet file, where it has one; the others are not made."""
    with store.parquet(name) as parquet:
        return next((batch.to_pylist() for batch in parquet.iter_batches(1, use_threads=False)), [])


def side_by_side(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The function's results in the items' order, several calls under way at once, never many: for
    reading and writing small files.
    """
    with ThreadPoolExecutor(_HANDS) as pool:
        under_way: deque[Future[R]] = deque()
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) >= 2 * _HANDS:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def runs(stream: Iterable[pa.Table], column: str) -> Iterator[tuple[Any, pa.Table]]:
    """Consecutive rows with one value of a column, which is left out; one run is held at a time."""
    held: list[pa.Table] = []
    value: Any = None
    for table in stream:
        marks = table.column(column).to_pylist()
        rest = table.drop_columns([column])
        start = 0
        for end in (
            *(row for row in range(1, len(marks)) if marks[row] != marks[row - 1]),
            len(marks),
        ):
            if held and marks[start] != value:
                yield value, pa.concat_tables(held)
                held = []
            value = marks[start]
            held.append(rest.slice(start, end - start))
            start = end
    if held:
        yield value, pa.concat_tables(held)
