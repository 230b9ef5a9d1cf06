"""A process's scratch database: joins and sorts of any size in bounded memory, on local disk."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final

import duckdb
import pyarrow as pa

from pipelines.errors import MachineFault
from pipelines.storage.store import arrow_schema
from pipelines.storage.temporary import temporary_folder
from schemas.record import Record

_MEMORY: Final = "768MB"  # beyond it DuckDB spills; the process itself stays below twice that
_BATCH_ROWS: Final = 1 << 16


class Scratch:
    """Tables of records under SQL."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._functions: set[str] = set()

    def load(self, name: str, kind: type[Record], tables: Iterable[pa.Table]) -> None:
        """Fill a new table with the columns of `kind` from Arrow tables, one after the other."""
        self.fill(name, chain([arrow_schema(kind).empty_table()], tables))

    def fill(self, name: str, tables: Iterable[pa.Table]) -> None:
        """Fill a new table from Arrow tables of the same columns; without any there is no table."""
        for index, table in enumerate(_gathered(tables)):
            self.append(
                name, table, "" if index else f"create table {name} as select * from incoming"
            )

    def append(self, name: str, table: pa.Table, statement: str = "") -> None:
        """Add an Arrow table's rows to a table, or run a statement on them as `incoming`."""
        self._connection.register("incoming", table)
        self._connection.execute(statement or f"insert into {name} by name select * from incoming")
        self._connection.unregister("incoming")

    def run(self, statement: str) -> None:
        """Run a statement that returns nothing."""
        self._connection.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query whose answer is small."""
        return list(self._connection.execute(query).fetchall())

    def stream(self, query: str) -> Iterator[pa.Table]:
        """A query's answer in its order, in pieces of a fixed size (DuckDB's own depend on its
        threads), never held whole.
        """
        held: list[pa.Table] = []
        rows = 0
        for batch in self._connection.sql(query).to_arrow_reader(_BATCH_ROWS):
            held.append(pa.Table.from_batches([batch]))
            rows += batch.num_rows
            if rows >= _BATCH_ROWS:
                whole = pa.concat_tables(held)
                yield whole.slice(0, _BATCH_ROWS).combine_chunks()
                held, rows = [whole.slice(_BATCH_ROWS)], rows - _BATCH_ROWS
        if rows:
            yield pa.concat_tables(held).combine_chunks()

    def load_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append a few rows to a table."""
        self.append(name, pa.Table.from_pylist(list(rows)))

    def function(
        self, name: str, function: Callable[..., Any], takes: Sequence[str], returns: str
    ) -> None:
        """Make a Python function callable from SQL; types are SQL's."""
        self._connection.create_function(name, function, list(takes), returns)
        self._functions.add(name)

    def close(self) -> None:
        """Let go of the functions: the database holds them otherwise until the process ends."""
        for name in self._functions:
            self._connection.remove_function(name)


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in fewer tables: each statement costs 3 ms, however few rows it reads."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= _BATCH_ROWS:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if held:
        yield pa.concat_tables(held)


@contextmanager
def _faults(folder: str) -> Iterator[None]:
    try:
        yield
    except (
        duckdb.IOException,
        duckdb.OutOfMemoryException,
        duckdb.TransactionException,
        duckdb.FatalException,
    ) as error:
        message = str(error).partition("\n")[0]
        raise MachineFault(
            f"the scratch database in {folder}: {message}; make room there, then run again"
        ) from error


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A scratch database, removed at the end with all it spilled.

    Raises `MachineFault` where its disk or memory does not suffice.
    """
    with temporary_folder() as folder, _faults(str(folder.parent)):
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY,
            "temp_directory": str(folder),
            "threads": min(4, os.cpu_count() or 1),
            "preserve_insertion_order": False,  # every query that needs an order says so
            "autoinstall_known_extensions": False,  # no network
            "autoload_known_extensions": False,
        }
        with duckdb.connect(f"{folder}/scratch.duckdb", config=settings) as connection:
            made = Scratch(connection)
            try:
                yield made
            finally:
                made.close()
