"""Rows of a Parquet file from outside, unpacked in a child process under limits: a few kB can claim
any number of bytes.
"""

import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import accumulate
from typing import IO, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.engine.child_process import Child, Death, Limits
from pipelines.errors import DeadInput, is_of_the_machine
from pipelines.storage.temporary import temporary_file

_LIMITS: Final = Limits(cpu_s=120, memory_mb=768, wall_s=600)  # of one piece
_ROWS: Final = 1000  # unpacked at once; where that is too much, one at a time
_PIECE: Final = 8 << 20  # bytes handed over at once, or a single row
_GROWTH: Final = 1000  # times its size that a table may unpack to, beside the first `_FREE` bytes
_FREE: Final = 256 << 20
_FOOTER_LIMIT: Final = 64 << 20


class _ReadRequest(NamedTuple):
    """Where a child reads: the file, how many rows it unpacks at once, the longest text, and the
    name for a row that is none.
    """

    path: str
    at_once: int
    longest: int
    broken: str


class _RowPiece(NamedTuple):
    """Rows, about how many bytes they are, and whether they are the last."""

    rows: list[dict[str, Any]]
    size: int
    last: bool


def parquet_rows(
    opened: IO[bytes], longest: int, broken: str
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with their numbers from 1.

    One with a text of more than `longest` bytes has the reason in place of its cells, under
    `broken`.

    Raises `DeadInput` for what is not Parquet, and where a row cannot be unpacked within the
    limits.
    """
    with _path_of(opened) as path, closing(Child(_LIMITS)) as child:
        allowed = _FREE + _GROWTH * os.stat(path).st_size
        request, number, last = _ReadRequest(path, _ROWS, longest, broken), 0, False
        while not last:
            [piece] = child.run(read_pieces, [number], request)
            if isinstance(piece, Death):
                if piece.code == "bad_table" or request.at_once == 1:
                    raise DeadInput(
                        "bad_table",
                        f"cannot be read as parquet from row {number + 1} on: {piece.message}",
                        piece.figure,
                    )
                request = request._replace(at_once=1)
                continue
            yield from enumerate(piece.rows, start=number + 1)
            number, last, allowed = number + len(piece.rows), piece.last, allowed - piece.size
            if allowed < 0:
                raise DeadInput(
                    "bad_table",
                    (
                        f"unpacks to {_GROWTH} times its size "
                        f"by row {number}: what follows is not read"
                    ),
                )


@contextmanager
def _path_of(opened: IO[bytes]) -> Iterator[str]:
    """A path of an open file that children can open; what is not a local file is copied first."""
    try:
        yield f"/proc/{os.getpid()}/fd/{opened.fileno()}"
        return
    except (AttributeError, io.UnsupportedOperation):
        pass
    with temporary_file("a table") as copy:
        shutil.copyfileobj(opened, copy, 1 << 20)
        copy.flush()
        yield f"/proc/{os.getpid()}/fd/{copy.fileno()}"


_Numbered = tuple[dict[str, Any], int]  # a row and about how many bytes it is
# of the child: where it stands, so that the next piece need not begin anew
_STREAMS: dict[tuple[_ReadRequest, int], Iterator[_Numbered]] = {}


def read_pieces(starts: Sequence[int], request: _ReadRequest) -> list[_RowPiece | Death]:
    """The rows from each number on, as many as fit a piece; runs in a child."""
    return [_read_piece(start, request) for start in starts]


def _read_piece(start: int, request: _ReadRequest) -> _RowPiece | Death:
    stream = _STREAMS.pop((request, start), None) or _stream(request, start)
    _STREAMS.clear()
    rows: list[dict[str, Any]] = []
    size = 0
    try:
        for row, bytes_of_row in stream:
            rows.append(row)
            size += bytes_of_row
            # a row that kills the child must not take those before it along
            if size >= _PIECE or request.at_once == 1:
                _STREAMS[request, start + len(rows)] = stream
                return _RowPiece(rows, size, last=False)
    except DeadInput as error:
        return Death("bad_table", error.message)
    except (pa.ArrowException, MemoryError, OSError, ValueError) as error:
        if is_of_the_machine(error):
            raise
        if rows:
            return _RowPiece(
                rows, size, last=False
            )  # the next piece begins where this one broke off
        if isinstance(error, MemoryError):
            raise
        return Death("bad_table", str(error))
    return _RowPiece(rows, size, last=True)


def _stream(request: _ReadRequest, start: int) -> Iterator[_Numbered]:
    with open(request.path, "rb") as opened:
        _check_footer(opened)
        with pq.ParquetFile(opened) as plain:
            texts = _text_columns(plain.schema_arrow)
        with pq.ParquetFile(
            opened,
            read_dictionary=texts,
            thrift_string_size_limit=_FOOTER_LIMIT,
            thrift_container_size_limit=1 << 20,
        ) as parquet:
            sizes = [
                parquet.metadata.row_group(number).num_rows
                for number in range(parquet.num_row_groups)
            ]
            ends = list(accumulate(sizes))
            first = next((number for number, end in enumerate(ends) if end > start), len(ends))
            skipped = start - (ends[first - 1] if first else 0)
            for batch in parquet.iter_batches(
                request.at_once, row_groups=range(first, len(ends)), use_threads=False
            ):
                kept = batch.slice(skipped)
                skipped -= batch.num_rows - kept.num_rows
                yield from _rows(kept, request)


def _check_footer(opened: IO[bytes]) -> None:
    """Refuse a footer that claims to be longer than the file: Arrow would make room for it."""
    size = opened.seek(0, io.SEEK_END)
    opened.seek(max(0, size - 8))
    length, magic = int.from_bytes(opened.read(4), "little"), opened.read(4)
    if magic != b"PAR1" or length > min(size - 8, _FOOTER_LIMIT):
        raise DeadInput("bad_table", "no Parquet footer, or one that is cut off")


def _text_columns(schema: pa.Schema) -> list[str]:
    """Columns of text or bytes, kept as dictionaries: so one text that stands in a million rows is
    there once. Checks the names.
    """
    double = [name for name in schema.names if schema.names.count(name) > 1]
    if double:
        raise DeadInput("bad_table", f"has several columns {double[0]}")
    kinds = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_binary,
        pa.types.is_large_binary,
    )

    def is_text(kind: pa.DataType) -> bool:
        return any(is_kind(kind) for is_kind in kinds)

    return [field.name for field in schema if is_text(field.type) and "." not in field.name]


def _rows(batch: pa.RecordBatch, request: _ReadRequest) -> Iterator[_Numbered]:
    """Rows of a batch, made all at once only where they are small together."""
    lengths = {
        name: _lengths(column)
        for name, column in zip(batch.schema.names, batch.columns)
        if pa.types.is_dictionary(column.type)
    }
    other = sum(
        column.nbytes for column in batch.columns if not pa.types.is_dictionary(column.type)
    )
    each = other // max(1, batch.num_rows)
    sizes = [each + sum(column[at] for column in lengths.values()) for at in range(batch.num_rows)]
    is_small = other + sum(sum(column) for column in lengths.values()) <= _PIECE
    if is_small and (rows := _converted(batch)) is not None:
        yield from zip(rows, sizes, strict=True)
        return
    for at in range(batch.num_rows):
        long = next(
            (name for name, column in lengths.items() if column[at] > request.longest), None
        )
        if long is not None:
            size = lengths[long][at]
            yield {request.broken: f"column {long} holds {size} bytes, limit {request.longest}"}, 0
        elif (row := _converted(batch.slice(at, 1))) is not None:
            yield row[0], sizes[at]
        else:
            yield (
                {request.broken: "holds text that is not UTF-8, or a time that no calendar has"},
                0,
            )


def _converted(batch: pa.RecordBatch) -> list[dict[str, Any]] | None:
    """Rows as Python's values; none where one of them has none."""
    try:
        return list(batch.to_pylist())
    except (
        ValueError,
        OverflowError,
    ):
        # of text that is not UTF-8, and of dates beyond the year 9999
        return None


def _lengths(column: pa.DictionaryArray) -> list[int]:
    """Bytes of each text of a column, 0 where there is none."""
    of_entry = pc.binary_length(column.dictionary)
    return [length or 0 for length in of_entry.take(column.indices).to_pylist()]
