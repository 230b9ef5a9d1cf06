"""Sections with words and controls of their own: ``0-5: A calm flute; chords=Am F; key=A minor``.

A model has one text for a piece, which becomes the caption and those of the sections in their
order; only the controls of a section are laid out in its time.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.errors import DeadInput, readable
from pipelines.guarded.tables import BROKEN, EXTRA, table_rows
from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.timed_controls.files import AllowedFiles, file_bytes, file_text, number_of, shown
from training.timed_controls.options import CONTROL_NAMES, ControlOptions
from training.timed_controls.parts import check_apart, read_parts

_FLAG: Final = "--section"
_TABLE: Final = "section"  # in TOML
_NAMES: Final = frozenset(("start", "end", "caption", *CONTROL_NAMES))
_EXPECTED: Final = "such as '0-5: A calm flute; chords=Am F; key=A minor'"
MOST_SECTIONS: Final = 100


class PieceSection(NamedTuple):
    """A part of a piece: when, what in words, and what else; its own times count from its start."""

    span: Span
    caption: str
    options: ControlOptions
    files: AllowedFiles  # that it may name: those of a file of sections lie beside it


def read_sections(
    written: Sequence[str], duration_s: float, files: AllowedFiles
) -> tuple[PieceSection, ...]:
    """Sections of texts, and of files of them (TOML, CSV), in the order of their times.

    Raises `TrainingError` for what cannot be read, by its place, for sections that overlap, and for
    more than 100.
    """
    found: list[PieceSection] = []
    for text in written:
        path = files.path(text, _FLAG)
        if path:
            found += _of_file(path, duration_s, files._replace(folder=path.parent))
        else:
            found.append(_of_text(text, duration_s, files))
    if len(found) > MOST_SECTIONS:
        raise TrainingError(f"{len(found)} sections are more than the {MOST_SECTIONS} of a piece")
    found.sort(key=lambda one: one.span)
    check_apart([one.span for one in found], _FLAG)
    return tuple(found)


def last_end_s(written: Sequence[str], files: AllowedFiles) -> float | None:
    """When the last section ends; none where one lasts to an end that nobody says.

    >>> from training.timed_controls.files import HERE
    >>> last_end_s(["0-4: Calm", "4-8: Loud"], HERE), last_end_s(["2-: Calm"], HERE)
    (8.0, None)
    """
    sections = read_sections(written, _ENDLESS_S, files)
    end_s = max(one.span.end_s for one in sections)
    return end_s if end_s < _ENDLESS_S else None


_ENDLESS_S: Final = 1e6


def _of_text(text: str, duration_s: float, files: AllowedFiles) -> PieceSection:
    head, colon, rest = text.partition(":")
    [part, *others] = read_parts(f"{head}{colon} {rest.replace(':', _KEPT)}", _FLAG, duration_s)
    if part.span is None or others:
        raise TrainingError(f"{_FLAG} {shown(text)} has no time: expected {_EXPECTED}")
    words: list[str] = []
    cells: dict[str, str] = {}
    for piece in part.text.replace(_KEPT, ":").split(";"):
        name, equals, value = piece.partition("=")
        if equals and name.strip().isidentifier():
            if name.strip() not in CONTROL_NAMES or name.strip() in cells:
                raise TrainingError(
                    f"{_FLAG}: {shown(piece.strip())}: expected each at most once of "
                    f"{', '.join(CONTROL_NAMES)}, {_EXPECTED}"
                )
            cells[name.strip()] = value.strip()
        elif cells and piece.strip():
            # a curve has semicolons of its own
            last = next(reversed(cells))
            cells[last] = f"{cells[last]}; {piece.strip()}"
        else:
            words.append(piece.strip())
    caption = "; ".join(filter(None, words))
    return PieceSection(part.span, caption, ControlOptions.of_cells(cells), files)


_KEPT: Final = "\x00"  # in place of colons after a section's head, while parts are looked for


def _of_file(path: Path, duration_s: float, files: AllowedFiles) -> list[PieceSection]:
    rows = _toml_rows(path) if path.suffix.lower() == ".toml" else _table_rows(path)
    found = [_of_row(place, row, duration_s, files) for place, row in rows]
    if not found:
        raise TrainingError(f"{readable(str(path))} holds no section")
    return found


def _toml_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    name = readable(str(path))
    try:
        content = tomllib.loads(file_text(path))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise TrainingError(f"{name} is not TOML: {error}") from error
    rows = content.get(_TABLE)
    if set(content) != {_TABLE} or not isinstance(rows, list):
        raise TrainingError(f"{name}: expected tables [[{_TABLE}]] and nothing else")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise TrainingError(f"{name}, section {number} is not a table [[{_TABLE}]]")
        yield f"{name}, section {number}", row


def _table_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    name = readable(str(path))
    file_bytes(path)  # of a size that may be read
    try:
        with path.open("rb") as opened:
            for number, row in table_rows(path.suffix.lower(), opened):
                if BROKEN in row:
                    raise TrainingError(f"{name}, line {number} {row[BROKEN]}")
                yield f"{name}, line {number}", {k: v for k, v in row.items() if k != EXTRA}
    except DeadInput as error:
        raise TrainingError(f"{name} {error.message}") from error


def _of_row(
    place: str, row: Mapping[str, Any], duration_s: float, files: AllowedFiles
) -> PieceSection:
    strange = sorted(set(map(str, row)) - _NAMES)
    if strange:
        raise TrainingError(
            f"{place}: {shown(strange[0])} is not known: expected {', '.join(sorted(_NAMES))}"
        )
    start_s, end_s = (_seconds(row.get(name), name, place) for name in ("start", "end"))
    start_s, end_s = start_s or 0.0, min(duration_s if end_s is None else end_s, duration_s)
    if not 0 <= start_s < end_s:
        raise TrainingError(
            f"{place}: from {start_s:g} to {end_s:g} s is no part of {duration_s:g} s"
        )
    try:
        options = ControlOptions.of_cells(row)
    except TrainingError as error:
        raise TrainingError(f"{place}: {error}") from error
    caption = str(row.get("caption") or "").strip()
    return PieceSection(Span(start_s, end_s), caption, options, files)


def _seconds(value: object, name: str, place: str) -> float | None:
    if value is None or value == "":
        return None
    number = number_of(str(value))
    if number is None:
        raise TrainingError(f"{place}: {name} {shown(str(value))} is not a time in seconds")
    return number
