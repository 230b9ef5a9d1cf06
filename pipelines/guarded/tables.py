"""Tables from outside as rows, one at a time: CSV, TSV, JSON lines, Parquet.

What is wrong with a row costs that row.

A record of separated text that cannot be read (a stray quote, one that is never closed, a line or
cell that is too long) is dead by the number of the line it began on, and reading goes on at the
line after. Lines that it had taken for its own by then are read each alone: so an open quote costs
no more time than reading its lines twice, and a text of several lines among them is dead too.
"""

import csv
import io
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final, NamedTuple, TextIO

from pipelines.errors import DeadInput
from pipelines.guarded.json_objects import json_object
from pipelines.guarded.parquet import parquet_rows

BROKEN: Final = "_broken"  # in place of a row's cells: why it is none
EXTRA: Final = "_cells"  # those beyond the header's
_FIELD_LIMIT: Final = 1 << 24  # a longer cell, or line of text, is not a caption
_LINES_LIMIT: Final = 10_000  # of one record
_COLUMNS_LIMIT: Final = 16_384  # as many as a spreadsheet has
csv.field_size_limit(_FIELD_LIMIT)


def table_rows(
    suffix: str, opened: IO[bytes]
) -> Generator[tuple[int, Mapping[str, Any]], None, None]:
    """Rows of a table by its ending, with their numbers; `BROKEN` says why one is none.

    A row of text is known by the line it ends on. Raises `DeadInput` for what is not a table at
    all.
    """
    if suffix == ".parquet":
        yield from parquet_rows(opened, _FIELD_LIMIT, BROKEN)
        return
    with _as_text(opened, newline="\n" if suffix in (".jsonl", ".ndjson") else "") as text:
        lines = _Lines(text)
        if suffix in (".jsonl", ".ndjson"):
            yield from _json_lines(lines)
        else:
            yield from _separated(lines, "\t" if suffix == ".tsv" else ",")


@contextmanager
def _as_text(opened: IO[bytes], newline: str) -> Iterator[TextIO]:
    """A file as text, a line at a time.

    What is not UTF-8 becomes lone surrogates here, and a problem of its line.
    """
    text = io.TextIOWrapper(opened, encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    try:
        yield text
    finally:
        if not opened.closed:
            text.detach()  # else the wrapper would close the file, which is its opener's to do


class _TextLine(NamedTuple):
    """A line, and why no row can be made of it; of one that is too long the text is left out."""

    text: str
    number: int
    problem: str = ""

    @property
    def is_left_out(self) -> bool:
        """Whether it was too long."""
        return not self.text


class _Lines:
    """Lines of a table, numbered."""

    def __init__(self, text: TextIO) -> None:
        self._text, self._number = text, 0

    def next(self) -> _TextLine | None:
        """The next line, or none at the end."""
        line = self._text.readline(_FIELD_LIMIT + 1)
        if not line:
            return None
        self._number += 1
        if len(line) <= _FIELD_LIMIT:
            return _TextLine(line, self._number, _problem(line))
        while len(line) > _FIELD_LIMIT and not line.endswith(("\n", "\r")):
            line = self._text.readline(_FIELD_LIMIT + 1)
        return _TextLine("", self._number, f"is longer than {_FIELD_LIMIT} characters")


def _problem(line: str) -> str:
    if "\0" in line:
        return "holds NUL bytes"
    if line.isascii():
        return ""
    try:
        line.encode("utf-8", "surrogateescape").decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8: {error.reason}, byte {error.object[error.start]:#04x}"
    return ""


class _RecordCells(NamedTuple):
    """Cells of a record, known by its last line; or why it has none, known by its first."""

    number: int
    cells: list[str]
    problem: str = ""


class _Records:
    """Records of separated text.

    To `csv` it is an iterator of lines that knows which ones the present record has taken.
    """

    def __init__(self, lines: _Lines, delimiter: str) -> None:
        self._lines = lines
        self._again: deque[_TextLine] = deque()  # lines of a broken record, to be read each alone
        self._waiting: _TextLine | None = None
        self._taken: list[_TextLine] = []
        self._characters = 0
        self._alone = False
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def next(self) -> _RecordCells | None:
        """The next record, blank lines left out, or none at the end."""
        while self._begin():
            try:
                cells = next(self._reader, [])
            except csv.Error as error:
                self._again.extendleft(reversed(self._taken[1:]))
                return _RecordCells(
                    self._taken[0].number, [], self._taken[0].problem or f"is not a row: {error}"
                )
            if cells:
                problem = next((line.problem for line in self._taken if line.problem), "")
                return _RecordCells(self._taken[-1].number, cells, problem)
        return None

    def _begin(self) -> bool:
        self._alone = bool(self._again)
        self._waiting = self._again.popleft() if self._again else self._lines.next()
        self._taken, self._characters = [], 0
        return self._waiting is not None

    def __iter__(self) -> "_Records":
        return self

    def __next__(self) -> str:
        """The next line of the present record, for `csv`."""
        line, self._waiting = self._waiting, None
        if line is None:
            if self._alone:
                raise StopIteration
            if self._characters > _FIELD_LIMIT or len(self._taken) >= _LINES_LIMIT:
                raise csv.Error("a quote that opens in it is not closed")
            line = self._lines.next()
        if line is None:
            raise StopIteration
        self._taken.append(line)
        self._characters += len(line.text)
        if line.is_left_out:
            raise csv.Error(line.problem)
        return line.text


def _separated(lines: _Lines, delimiter: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    records = _Records(lines, delimiter)
    header = records.next()
    if header is None:
        raise DeadInput("bad_table", "is empty: a first line with column names is needed")
    if header.problem:
        raise DeadInput(
            "bad_table",
            f"cannot be read as a table: its first line, of column names, {header.problem}",
        )
    names, width = header.cells, len(header.cells)
    if width > _COLUMNS_LIMIT:
        raise DeadInput("bad_table", f"has {width} columns, limit {_COLUMNS_LIMIT}")
    while (record := records.next()) is not None:
        if record.problem:
            yield record.number, {BROKEN: record.problem}
            continue
        row: dict[str, Any] = dict(zip(names, record.cells))
        row.update(dict.fromkeys(names[len(record.cells) :]))
        yield (
            record.number,
            {**row, EXTRA: record.cells[width:]} if len(record.cells) > width else row,
        )


def _json_lines(lines: _Lines) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """NaN and Infinity, which pandas writes, are nothing; all else is as of JSON elsewhere."""
    while (line := lines.next()) is not None:
        if (
            line.number == 1
            and line.problem
            and not line.is_left_out
            and not line.text.lstrip().startswith("{")
        ):
            raise DeadInput(
                "bad_table", f"cannot be read as JSON lines: its first line {line.problem}"
            )
        if line.problem:
            yield line.number, {BROKEN: line.problem}
        elif line.text.strip():
            try:
                yield line.number, json_object(line.text, not_a_number=lambda _: None)
            except DeadInput as error:
                yield line.number, {BROKEN: error.message}
