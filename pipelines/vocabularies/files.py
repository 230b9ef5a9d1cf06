"""Files of texts, as anybody may have them: Parquet, JSON lines, CSV or TSV with a column ``text``,
or one text per line.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipelines.errors import DeadInput, PipelineError, WrongArgument
from pipelines.guarded.tables import BROKEN, table_rows
from pipelines.storage.store import Store
from schemas.vocabulary import Form

_TEXTS: Final = ("text", "caption")  # columns that hold it, the first that is there
_WORDS_OF_A_SENTENCE: Final = 5
_PLAIN: Final = ".txt"
_ENDINGS: Final = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv", _PLAIN)


class Text(NamedTuple):
    """One text as a file states it; "" where it is silent."""

    text: str
    form: str = ""
    source: str = ""
    licence: str = ""


def file_at(address: str) -> tuple[Store, str]:
    """The folder of a file as a store, and its name there.

    Raises `PipelineError` where there is no such file.
    """
    folder, name = os.path.split(address)
    store = Store(folder or ".")
    if not store.exists(name):
        raise WrongArgument(f"{address} does not exist")
    return store, name


def read_texts(address: str) -> list[Text]:
    """All texts of a file.

    Raises `PipelineError` for what cannot be read, and says what was expected.
    """
    store, name = file_at(address)
    ending = os.path.splitext(name)[1].lower()
    if ending not in _ENDINGS:
        raise WrongArgument(
            f"{address} is not a vocabulary: expected a name that ends in {', '.join(_ENDINGS)}"
        )
    try:
        if ending == _PLAIN:
            texts = [Text(line) for line in store.read_bytes(name).decode("utf-8-sig").splitlines()]
        else:
            with store.open(name) as opened:
                texts = [_text(number, cells) for number, cells in table_rows(ending, opened)]
    except (DeadInput, UnicodeDecodeError) as error:
        raise PipelineError(f"{address} cannot be read as a vocabulary: {error}") from error
    if not texts:
        raise PipelineError(f"{address} cannot be read as a vocabulary: it holds no row")
    return [text for text in texts if text.text.strip()]


def _text(number: int, cells: Mapping[str, Any]) -> Text:
    """A row of a table."""
    if BROKEN in cells:
        raise DeadInput("bad_table", f"row {number} {cells[BROKEN]}")
    column = next((name for name in _TEXTS if name in cells), None)
    if column is None:
        names = ", ".join(repr(name) for name in list(cells)[:8])
        raise DeadInput("bad_table", f"no column {' or '.join(_TEXTS)} among {names}")
    return Text(*(str(cells.get(name) or "") for name in (column, *Text._fields[1:])))


def form_of(texts: Sequence[Text]) -> Form:
    """The form of texts that state none: sentences, where the median has five words or more."""
    words = sorted(len(text.text.split()) for text in texts)
    return Form.LONG if words and words[len(words) // 2] >= _WORDS_OF_A_SENTENCE else Form.SHORT
