"""A folder of some system's audio, with a manifest, or a text or JSON file beside each piece."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import ValidationError

from pipelines.errors import DeadInput, machine_faults, readable
from pipelines.guarded.tables import BROKEN, table_rows
from pipelines.inputs.listing import AUDIO
from pipelines.inputs.manifests import MANIFESTS
from schemas.errors import SchemaError
from training.errors import TrainingError
from training.evaluation.clips import MadeClip, ScoredListing, Skipped
from training.evaluation.rows import FILE, ParsedRow, parse_row, text_of
from training.evaluation.steered.beside import BesidePiece, beside_piece

T = TypeVar("T")
# of several tables in a folder, the one of the first such name
_NAMES: Final = ("manifest", "metadata", "prompts")
_OUTSIDE: Final = (
    "lies outside of the folder: give --outside if "
    "its sound may be scored, and copied into the report"
)
# characters of a text or JSON beside a piece: ten hours of labels have fewer
_TEXT_LIMIT: Final = 1 << 20


class _BadRow(NamedTuple):
    """What is wrong with a row."""

    reason: str


def read_folder(
    target: Path, manifest: Path | None = None, *, outside: bool = False
) -> ScoredListing:
    """The clips of a folder, or of the folder that a manifest lies in.

    With a manifest (CSV, TSV, JSON lines, Parquet; found by itself where the folder has one), its
    rows name the files; else each audio file has its prompt in ``<name>.json`` or ``<name>.txt``
    beside it, or none. What rows and links lead to must lie in the folder, for it ends up in a
    report that is shown; `outside` lets them lead anywhere. Raises `TrainingError` where nothing
    can be scored.
    """
    if target.is_file() and target.suffix.lower() in MANIFESTS:
        target, manifest = target.parent, target
    if not target.is_dir():
        raise TrainingError(f"{target} is neither a folder of audio nor a manifest of one")
    within = Path("/") if outside else target.resolve()
    table = manifest or _own_manifest(target, within)
    found = list(_by_manifest(target, table, within) if table else _by_neighbour(target, within))
    made = _with_partners([one for one in found if isinstance(one, MadeClip)])
    skipped = [one for one in found if isinstance(one, Skipped)]
    if not made:
        why = (
            f": {skipped[0].name}: {skipped[0].reason}"
            if skipped
            else "; expected sound files, such as .wav or .flac"
        )
        raise TrainingError(f"{target} holds no clip to score{why}")
    if table:
        skipped += _named_by_no_row(target, found)
    return ScoredListing(readable(target.resolve().name), tuple(made), tuple(skipped))


def _named_by_no_row(folder: Path, found: Sequence[MadeClip | Skipped]) -> list[Skipped]:
    """Audio files of a folder that its manifest leaves out."""
    named = {os.path.realpath(one.path) for one in found if one.path}
    others = [path for path in _audio_files(folder) if os.path.realpath(path) not in named]
    return [Skipped(_shown(path, folder), "no row of the manifest names it") for path in others]


def _with_partners(made: Sequence[MadeClip]) -> list[MadeClip]:
    """Clips whose `swap_of`, written as a file, became the partner's name.

    Of two that name each other, the first is not a swap.
    """
    names = {name: one.name for one in made for name in (Path(one.path).name, one.name)}
    partners = {
        one.name: names.get(one.swap_of) or names.get(Path(one.swap_of).name, "") for one in made
    }
    order = {one.name: number for number, one in enumerate(made)}

    def is_original(name: str) -> bool:
        partner = partners[name]
        return not partner or (partners[partner] == name and order[name] <= order[partner])

    return [
        one._replace(swap_of="" if is_original(one.name) else partners[one.name]) for one in made
    ]


def _own_manifest(folder: Path, within: Path) -> Path | None:
    found = (
        path for path in folder.iterdir() if path.suffix.lower() in MANIFESTS and path.is_file()
    )
    tables = sorted(path for path in found if _lies_in(path, within))
    if len(tables) <= 1:
        return next(iter(tables), None)
    named = [path for name in _NAMES for path in tables if path.stem.lower() == name]
    if not named:
        raise TrainingError(
            f"{folder} has several tables ({', '.join(path.name for path in tables)}): "
            "name the manifest with --manifest"
        )
    return named[0]


def _by_manifest(folder: Path, table: Path, within: Path) -> Iterator[MadeClip | Skipped]:
    names: set[str] = set()
    try:
        with table.open("rb") as opened:
            for number, row in table_rows(table.suffix.lower(), opened):
                one = _of_row(
                    row, f"{table.name}#{number}", _AllowedFolders(folder, table.parent, within)
                )
                if isinstance(one, MadeClip) and one.name in names:
                    one = Skipped(
                        f"{table.name}#{number}", f"names {one.name}, as an earlier row does"
                    )
                names |= {one.name} if isinstance(one, MadeClip) else set()
                yield one
    except DeadInput as error:
        raise TrainingError(f"{table} {error.message}") from error


class _AllowedFolders(NamedTuple):
    """Where the files of rows may be: the folder, the manifest's own, and what both, links
    followed, must lie in.
    """

    folder: Path
    beside: Path
    within: Path


def _of_row(row: Mapping[str, Any], row_name: str, folders: _AllowedFolders) -> MadeClip | Skipped:
    if BROKEN in row:
        return Skipped(row_name, readable(str(row[BROKEN])))
    file = _parsed(_file, row)
    if isinstance(file, _BadRow):
        return Skipped(row_name, file.reason)
    path = _file_path(file, folders)
    if path is None:
        return Skipped(row_name, f"{file} is not there")
    if not _lies_in(path, folders.within):
        return Skipped(row_name, f"{file} {_OUTSIDE}", str(path))
    parsed = _parsed(_row_and_links, row)
    if isinstance(parsed, _BadRow):
        return Skipped(row_name, parsed.reason, str(path))
    own = _own_piece(path, folders.within)
    return MadeClip(
        name=_name(path, folders.folder),
        caption=parsed.row.caption,
        requested=parsed.row.requested,
        path=str(path),
        timing=parsed.row.timing,
        swap_of=parsed.swap_of,
        reference=parsed.reference,
        curves=own.curves,
        steered=own.steered,
        asked_s=parsed.row.seconds,
    )


def _own_piece(path: Path, within: Path) -> BesidePiece:
    """Curves and steering that the JSON beside a piece of ours says; nothing where it is not one,
    or lies elsewhere.
    """
    if not _lies_in(path.with_suffix(".json"), within):
        return BesidePiece()
    row = _beside(path)
    beside = BesidePiece() if isinstance(row, _BadRow) else _parsed(beside_piece, row)
    return BesidePiece() if isinstance(beside, _BadRow) else beside


class _RowAndLinks(NamedTuple):
    """What a row of a manifest says of its clip and of others."""

    row: ParsedRow
    swap_of: str
    reference: str


def _row_and_links(row: Mapping[str, Any]) -> _RowAndLinks:
    return _RowAndLinks(
        parse_row(row), text_of(row, ("swap_of",)), text_of(row, ("reference", "key_of_sample"))
    )


def _file(row: Mapping[str, Any]) -> str:
    file = text_of(row, FILE)
    if not file:
        raise TrainingError(f"names no audio in a column {' or '.join(FILE)}")
    return file


def _parsed(reader: Callable[[Mapping[str, Any]], T], row: Mapping[str, Any]) -> T | _BadRow:
    """What a reader finds in a row, or what is wrong with it."""
    try:
        return reader(row)
    except ValidationError as error:
        reason = f"its labels cannot be read: {error.errors()[0]['msg']}"
    except DeadInput as error:
        reason = error.message
    except (TrainingError, SchemaError) as error:
        reason = str(error).replace("--", "")
    return _BadRow(readable(reason))


def _file_path(file: str, folders: _AllowedFolders) -> Path | None:
    """The file that a manifest means: beside it, in the folder, or, where it names a place on
    another machine, by its last name.

    One that may be used comes before one that may not.
    """
    plain = file.removeprefix("file://")
    if "\0" in plain or "://" in plain:
        return None
    tried = [folders.beside / plain, folders.folder / plain, folders.folder / Path(plain).name]
    there = [path for path in tried if path.is_file()]
    return next((path for path in there if _lies_in(path, folders.within)), next(iter(there), None))


def _lies_in(path: Path, within: Path) -> bool:
    """Whether a file, all links followed, is below a folder."""
    return Path(os.path.realpath(path)).is_relative_to(within)


def _by_neighbour(folder: Path, within: Path) -> Iterator[MadeClip | Skipped]:
    for path in _audio_files(folder):
        name = _shown(path, folder)
        beside = [
            one
            for one in (path, path.with_suffix(".json"), path.with_suffix(".txt"))
            if not _lies_in(one, within)
        ]
        if beside:
            yield Skipped(name, readable(f"{beside[0].name} {_OUTSIDE}"), str(path))
            continue
        row = _beside(path)
        parsed = row if isinstance(row, _BadRow) else _parsed(parse_row, row)
        if isinstance(parsed, _BadRow):
            yield Skipped(name, parsed.reason)
            continue
        own = _own_piece(path, within)
        yield MadeClip(
            name,
            parsed.caption,
            parsed.requested,
            str(path),
            parsed.timing,
            curves=own.curves,
            steered=own.steered,
            asked_s=parsed.seconds,
        )


def _beside(path: Path) -> dict[str, Any] | _BadRow:
    """What a piece's JSON or text says, or what is wrong with it; no prompt without either."""
    beside, text = path.with_suffix(".json"), path.with_suffix(".txt")
    try:
        with machine_faults(f"reading beside {path}"):
            if beside.is_file():
                row = json.loads(_text(beside))
                return (
                    row
                    if isinstance(row, dict)
                    else _BadRow(readable(f"{beside.name} is not a JSON object"))
                )
            return {"prompt": _text(text)} if text.is_file() else {}
    except (OSError, ValueError, RecursionError) as error:
        return _BadRow(
            readable(f"{(beside if beside.is_file() else text).name} cannot be read: {error}")
        )


def _text(path: Path) -> str:
    with path.open(encoding="utf-8") as opened:
        return opened.read(_TEXT_LIMIT)


def _audio_files(folder: Path) -> list[Path]:
    """Sound files below a folder in the order of their names; hidden ones are nobody's."""
    found = (Path(base) / name for base, _, names in os.walk(folder) for name in names)
    return sorted(
        path
        for path in found
        if path.suffix.lower() in AUDIO and not path.name.startswith(".") and path.is_file()
    )


def _name(path: Path, folder: Path) -> str:
    """A clip's name: its path in the folder; of one that lies elsewhere, the end of its path."""
    if path.resolve().is_relative_to(folder.resolve()):
        return readable(os.path.relpath(path.resolve(), folder.resolve()))
    return readable("/".join(path.parts[-2:]))


def _shown(path: Path, folder: Path) -> str:
    """A file that was found in a folder, by its own name there, wherever it may lead."""
    return readable(os.path.relpath(path, folder))
