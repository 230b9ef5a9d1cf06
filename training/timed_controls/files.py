"""Files that somebody names in place of a text, read within limits.

A value that ends in one of `ENDINGS` is a file: no chord, note or number ends so.
"""

import csv
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pipelines.errors import machine_faults, readable
from training.errors import TrainingError

ENDINGS: Final = (".csv", ".lab", ".mid", ".midi", ".toml", ".tsv", ".txt")
_BYTES: Final = 1 << 20  # ten hours of chords have fewer
_ROWS: Final = 20_000
_SHOWN: Final = 40  # characters of what cannot be read, in its error


class AllowedFiles(NamedTuple):
    """Where files may be: what a table of prompts names must lie in its folder, links followed,
    but for what the user's own options name.
    """

    folder: Path = Path()
    is_bound: bool = False
    own: frozenset[str] = frozenset()

    def path(self, value: str, flag: str) -> Path | None:
        """The file that a value means, or none where it is a text.

        Raises `TrainingError` where it lies outside of the folder.
        """
        return self.named(value, flag) if value.strip().lower().endswith(ENDINGS) else None

    def named(self, value: str, flag: str) -> Path:
        """The file of a name.

        Raises `TrainingError` where it lies outside of the folder.
        """
        if value in self.own:
            return Path(os.path.expanduser(value.strip()))
        path = self.folder / os.path.expanduser(value.strip())
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder))
        if self.is_bound and not inside:
            raise TrainingError(
                f"{flag} {shown(value)} lies outside of the table's folder: put it beside the table"
            )
        return path


HERE: Final = AllowedFiles()


class FileRow(NamedTuple):
    """The cells of one line of a file."""

    path: Path
    number: int
    cells: tuple[str, ...]

    def fault(self, why: str) -> TrainingError:
        """An error that names file and line."""
        return TrainingError(f"{readable(str(self.path))}, line {self.number}: {why}")

    def seconds(self, column: int) -> float:
        """A time in a column.

        Raises `TrainingError` for what is not one.
        """
        return self.number_in(column, "a time in seconds", 0, 1e6)

    def number_in(self, column: int, what: str, low: float, high: float) -> float:
        """A number in a column, within a range.

        Raises `TrainingError` for anything else.
        """
        number = number_of(self.cells[column])
        if number is None or not low <= number <= high:
            raise self.fault(
                f"{shown(self.cells[column])} is not {what}: expected {low:g} to {high:g}"
            )
        return number


def number_of(text: str) -> float | None:
    """A finite number, or none.

    >>> number_of(" -12.5 "), number_of("nan"), number_of("C")
    (-12.5, None, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def shown(text: str) -> str:
    """A text as an error quotes it, cut where it is long."""
    return readable(repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"))


def file_bytes(path: Path) -> bytes:
    """The content of a file of at most 1 MiB.

    Raises `TrainingError` for what is not a file, cannot be read or is larger.
    """
    name = readable(str(path))
    try:
        with machine_faults(f"reading {name}"):
            if not path.is_file():  # nor a pipe or a device, which could be read for ever
                raise TrainingError(f"{name} is not a file: name one that is there")
            with path.open("rb") as opened:
                content = opened.read(_BYTES + 1)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{name} cannot be read: {error}") from error
    if len(content) > _BYTES:
        raise TrainingError(f"{name} is larger than {_BYTES} bytes: it is no list of controls")
    return content


def file_text(path: Path) -> str:
    """The text of a file.

    Raises `TrainingError` as `file_bytes` does, and for what is not UTF-8.
    """
    try:
        return file_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainingError(
            f"{readable(str(path))} is not a text in UTF-8 (byte {error.start}): save it as UTF-8"
        ) from error


def file_rows(path: Path, columns: range) -> list[FileRow]:
    """The lines of a table: separated by commas (.csv) or tabs (.tsv), else by blanks.

    Blank lines, those that begin with #, and a first line of column names (it begins with no
    number) are left out. Raises `TrainingError` where a line has not as many cells as expected, and
    where there are no lines or more than 20,000.
    """
    rows: list[FileRow] = []
    for place, (number, cells) in enumerate(_split(path)):
        row = FileRow(path, number, cells)
        if place == 0 and number_of(cells[0]) is None:
            continue
        if len(cells) not in columns:
            raise row.fault(f"has {len(cells)} columns: expected {_either(columns)}")
        rows.append(row)
        if len(rows) > _ROWS:
            raise row.fault(f"is beyond the {_ROWS} lines that are read")
    if not rows:
        raise TrainingError(
            f"{readable(str(path))} holds no line that begins with a time in seconds"
        )
    return rows


def _either(columns: range) -> str:
    return " or ".join(map(str, columns))


def _split(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Lines with their numbers, as cells."""
    delimiter = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    for number, line in enumerate(file_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if delimiter is None:
            yield number, tuple(line.split())
            continue
        try:
            [cells] = csv.reader([line], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError) as error:
            raise FileRow(path, number, ()).fault(f"is not a row: {error}") from error
        yield number, tuple(cell.strip() for cell in cells)
