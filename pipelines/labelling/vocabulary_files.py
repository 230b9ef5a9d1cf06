"""Files of texts, as anybody may have them: Parquet, JSON lines, CSV or TSV with a column ``text``, or one text per line."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import PipelineError
from pipelines.store import Store
from schemas.vocabulary import Form

_TEXTS: Final = ("text", "caption")  # columns that hold it, the first that is there
_WORDS_OF_A_SENTENCE: Final = 5
_MOST_CHARS: Final = 1 << 20  # of a CSV's cell


class Text(NamedTuple):
    """One text as a file states it; "" where it is silent."""

    text: str
    form: str = ""
    source: str = ""
    licence: str = ""


def file_at(place: str) -> tuple[Store, str]:
    """The folder of a file as a store, and its name there. Raises `PipelineError` where there is no such file."""
    folder, name = os.path.split(place)
    store = Store(folder or ".")
    if not store.exists(name):
        raise PipelineError(f"{place} does not exist")
    return store, name


def read_texts(place: str) -> list[Text]:
    """All texts of a file. Raises `PipelineError` for what cannot be read, and says what was expected."""
    store, name = file_at(place)
    ending = os.path.splitext(name)[1].lower()
    if ending not in _READERS:
        raise PipelineError(f"{place} is no vocabulary: expected a name that ends in {', '.join(_READERS)}")
    try:
        return [text for text in _READERS[ending](store.read_bytes(name)) if text.text.strip()]
    except (pa.ArrowException, ValueError, csv.Error, KeyError) as error:
        raise PipelineError(f"{place} cannot be read as a vocabulary: {error}") from error


def form_of(texts: Sequence[Text]) -> Form:
    """The form of a file's texts that state none: sentences, where the median has five words or more."""
    words = sorted(len(text.text.split()) for text in texts)
    return Form.LONG if words and words[len(words) // 2] >= _WORDS_OF_A_SENTENCE else Form.SHORT


def _parquet(content: bytes) -> Iterator[Text]:
    table = pq.read_table(io.BytesIO(content))
    column = _text_column(table.column_names)
    said = [table.column(name).to_pylist() if name in table.column_names else None for name in (column, *Text._fields[1:])]
    for row in range(table.num_rows):
        yield Text(*(str(cells[row] or "") if cells is not None else "" for cells in said))


def _lines(content: bytes) -> Iterator[Text]:
    for line in content.decode().split("\n"):
        if line.strip():
            row: dict[str, Any] = json.loads(line)
            yield Text(str(row[_text_column(list(row))]), *(str(row.get(name) or "") for name in Text._fields[1:]))


def _table(content: bytes, delimiter: str) -> Iterator[Text]:
    csv.field_size_limit(_MOST_CHARS)
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    column = _text_column(rows.fieldnames or [])
    for row in rows:
        yield Text(row[column] or "", *(row.get(name) or "" for name in Text._fields[1:]))


def _plain(content: bytes) -> Iterator[Text]:
    return (Text(line) for line in content.decode("utf-8-sig").splitlines())


def _text_column(names: Sequence[str]) -> str:
    found = next((name for name in _TEXTS if name in names), None)
    if found is None:
        raise ValueError(f"no column {' or '.join(_TEXTS)} among {', '.join(map(repr, names[:8]))}")
    return found


_READERS: Final = {
    ".parquet": _parquet,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".csv": lambda content: _table(content, ","),
    ".tsv": lambda content: _table(content, "\t"),
    ".txt": _plain,
}
