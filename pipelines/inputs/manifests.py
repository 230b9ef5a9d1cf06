"""Manifests: tables whose rows name audio and say something of it.

CSV, TSV, JSON lines, Parquet.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import IO, Any, Final

from pipelines.errors import DeadInput
from pipelines.guarded.tables import BROKEN, EXTRA, table_rows
from pipelines.storage.addresses import check_local, check_remote
from schemas.corpus import InputRow, Outcome, Source
from schemas.identity import Split
from schemas.recipe import IngestRecipe

MANIFESTS: Final = frozenset((".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"))
_COLUMNS: Final = (
    "uri",
    "caption",
    "licence",
    "title",
    "artist",
    "album",
    "genre",
    "start_s",
    "end_s",
    "split",
)
_ALIASES: Final = {
    "uri": ("uri", "audio", "path", "location", "file", "file_name"),
    "caption": ("caption", "main_caption", "text"),
    "licence": ("licence", "license"),
}
_NOTHING: Final = frozenset(("", "nan", "null", "none", "n/a"))
# made once, not per row
_PLAIN_JSON: Final = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, default=str, allow_nan=False
)


def manifest_rows(uri: str, opened: IO[bytes], recipe: IngestRecipe) -> Iterator[InputRow]:
    """Rows of a manifest.

    A row that cannot be used is a dead row; a table that cannot be read raises `DeadInput`.
    """
    base = uri.rpartition("/")[0]
    aliases = _aliases(recipe)
    first = True
    with closing(table_rows(os.path.splitext(uri)[1].lower(), opened)) as table:
        for number, cells in table:
            name = f"{uri}#{number}"
            if first and not recipe.uri_template:
                _require_uri_column(cells, recipe)
            first = first and BROKEN in cells
            try:
                yield _row(name, cells, base, aliases, recipe)
            except DeadInput as error:
                yield InputRow(
                    row=name,
                    source=Source(uri=uri),
                    outcome=Outcome.DEAD,
                    code=error.code,
                    message=error.message,
                    figure=error.figure,
                )


def _names(column: str, recipe: IngestRecipe) -> tuple[str, ...]:
    mapped = recipe.column_map.get(column)
    return (mapped,) if mapped else _ALIASES.get(column, (column,))


def _aliases(recipe: IngestRecipe) -> dict[str, tuple[str, ...]]:
    return {column: _names(column, recipe) for column in _COLUMNS}


def _require_uri_column(cells: Mapping[str, Any], recipe: IngestRecipe) -> None:
    names = _names("uri", recipe)
    if BROKEN not in cells and not any(name in cells for name in names):
        raise DeadInput(
            "no_uri_column",
            (
                f"has no column {' or '.join(names)}; "
                "map one with --map uri=NAME or set ingest.uri_template"
            ),
        )


def _row(
    name: str,
    cells: Mapping[str, Any],
    base: str,
    aliases: Mapping[str, tuple[str, ...]],
    recipe: IngestRecipe,
) -> InputRow:
    if BROKEN in cells:
        raise DeadInput("bad_row", str(cells[BROKEN]))
    if EXTRA in cells:
        raise DeadInput(
            "bad_row", f"has {len(cells[EXTRA])} cells more than the header has columns"
        )
    found, unknown = _by_column(cells, aliases)
    start_s, end_s = _window(found["start_s"], found["end_s"])
    texts = {
        column: plain_text(column, found[column])
        for column in ("licence", "title", "artist", "album", "genre")
    }
    texts["licence"] = texts["licence"] or recipe.licence
    source = Source(
        uri=_uri(found["uri"], cells, base, recipe), metadata=_metadata(unknown), **texts
    )
    caption = plain_text("caption", found["caption"])
    return InputRow(
        row=name,
        source=source,
        start_s=start_s,
        end_s=end_s,
        captions=(caption,) if caption else (),
        split=_split(found["split"]),
    )


def _by_column(
    cells: Mapping[str, Any], aliases: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The filled cells by the names of our columns (none: not filled), and those of no column."""
    filled = {key: value for key, value in cells.items() if _is_filled(value)}
    used: dict[str, str] = {}
    for column, names in aliases.items():
        alias = next((name for name in names if name in filled), None)
        if alias is not None:
            used[column] = alias
    found = {column: filled[used[column]] if column in used else None for column in aliases}
    taken = set(used.values())
    return found, {key: value for key, value in filled.items() if key not in taken}


def _window(start: Any, end: Any) -> tuple[float | None, float | None]:
    """Start and end in seconds. Raises `DeadInput` where they are not a window."""
    start_s, end_s = _number("start_s", start), _number("end_s", end)
    if (start_s or 0.0) < 0 or (end_s is not None and end_s <= (start_s or 0.0)):
        raise DeadInput(
            "bad_window",
            "end_s must lie after start_s, and start_s not before 0",
            f"start_s {start_s}, end_s {end_s}",
        )
    return start_s, end_s


def _is_filled(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in _NOTHING
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def plain_text(column: str, value: Any) -> str:
    """A cell as text, without the space around it.

    Raises `DeadInput` for what is none, or could not be written anywhere.

    >>> plain_text("caption", " Rock. ")
    'Rock.'
    """
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise DeadInput("bad_row", f"column {column} holds {type(value).__name__}, not text")
    text = str(value).strip()
    if not text.isascii() and any(0xD800 <= ord(sign) <= 0xDFFF for sign in text):
        raise DeadInput(
            "bad_row", f"column {column} holds half a Unicode character (a lone surrogate)"
        )
    return text


def _number(column: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise DeadInput("bad_row", f"{column} is not a number of seconds: {value!r}") from error
    if not math.isfinite(number):
        raise DeadInput("bad_row", f"{column} is not finite: {value!r}")
    return number


def _split(value: Any) -> Split | None:
    if value is None:
        return None
    plain = {"valid": "validation", "val": "validation", "dev": "validation", "eval": "test"}.get(
        str(value).strip().lower(), str(value).strip().lower()
    )
    try:
        return Split(plain)
    except ValueError as error:
        raise DeadInput(
            "bad_row", f"split is {value!r}: expected train, validation or test"
        ) from error


def _uri(value: Any, cells: Mapping[str, Any], base: str, recipe: IngestRecipe) -> str:
    if recipe.uri_template:
        try:
            text = recipe.uri_template.format_map(
                {key: "" if cell is None else cell for key, cell in cells.items()}
            )
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise DeadInput(
                "bad_row",
                f"ingest.uri_template {recipe.uri_template!r} does not fit the row: {error}",
            ) from error
    else:
        text = plain_text("uri", value)
    if not text:
        raise DeadInput("bad_row", "names no audio")
    if "://" in base and "://" not in text and not os.path.isabs(text):
        scheme, _, rest = base.partition("://")
        host, _, folder = rest.partition("/")  # or bucket, which dots do not leave
        text = f"{scheme}://{host}{os.path.normpath(os.path.join('/', folder, text))}"
    if "://" in text and not text.startswith("file://"):
        check_remote(text, recipe)
        return text
    plain = text.removeprefix("file://")
    path = os.path.normpath(plain if os.path.isabs(plain) else f"{base}/{plain}")
    check_local(path, recipe)
    return path


def _metadata(unknown: Mapping[str, Any]) -> str:
    if not unknown:
        return "{}"
    try:
        text = _PLAIN_JSON.encode(unknown)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise DeadInput("bad_row", f"an unknown column cannot be kept as JSON: {error}") from error
    return text
