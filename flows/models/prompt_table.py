"""Many prompts of one table: rows as requests of a model, and the manifest of what was made."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from flows.errors import UsageError
from flows.models.playing import PieceJob
from flows.models.sampling import LONGEST_S, Asking, SamplingRequest
from pipelines.errors import DeadInput, PipelineError, readable
from pipelines.guarded.tables import BROKEN, EXTRA, table_rows
from pipelines.inputs.manifests import MANIFESTS
from schemas.chord import NO_CHORD
from schemas.errors import SchemaError
from training.errors import TrainingError
from training.evaluation.rows import CAPTION, text_of
from training.metrics.controls import surely_requested
from training.prompt_controls.chart import read_chart
from training.timed_controls.files import AllowedFiles, number_of, shown
from training.timed_controls.options import CONTROL_NAMES, ControlOptions
from training.timed_controls.parts import read_parts
from training.timed_controls.place import PiecePlace
from training.timed_controls.steer_options import STEER_NAMES, SteerOptions

MANIFEST: Final = "prompts.csv"
MOST_ROWS: Final = 10_000
_MANIFEST_COLUMNS: Final = ("file", "caption", "seconds", "bpm", "key", "chords", "meter")
_SECTION: Final = ("section", "sections")
_ALIASES: Final = {"tempo": "bpm", "time_signature": "meter", "beats_per_bar": "meter"}
_KNOWN: Final = frozenset(
    (
        *(*CONTROL_NAMES, *STEER_NAMES, *_SECTION, *_ALIASES, *CAPTION),
        *("seconds", "seed", "start", "total"),
    )
)
# columns of manifests that say nothing of what is to be played
_BESIDE: Final = frozenset(("file", "file_name", "filename", "audio", "path", "location", "uri"))
_LARGEST_SEED: Final = 2**63 - 1


class PromptRow(NamedTuple):
    """What one row asks for; what it leaves open is none."""

    number: int
    caption: str
    options: ControlOptions
    seconds: float | None
    seed: int | None
    steer: SteerOptions
    place: PiecePlace


class UnreadPrompt(NamedTuple):
    """A row that asks for nothing that can be played, and why."""

    number: int
    reason: str


class PromptTable(NamedTuple):
    """The rows of a table, and names of columns that are not read."""

    path: Path
    rows: tuple[PromptRow | UnreadPrompt, ...]
    unread: tuple[str, ...]


def read_prompts(path: Path) -> PromptTable:
    """The rows of a table of prompts (CSV, TSV, JSON lines, Parquet), each by its number.

    Columns have the names of `sample`'s options, beside `caption`, `seconds` and `seed`; those of
    a manifest that `evaluate folder` reads are known. Raises `UsageError` for a name that is
    not of a table, and `TrainingError` for what cannot be read as one.
    """
    name = readable(str(path))
    if path.suffix.lower() not in MANIFESTS or not path.is_file():
        endings = ", ".join(sorted(MANIFESTS))
        raise UsageError(f"--from {name} is not a table that is there: expected one of {endings}")
    rows: list[PromptRow | UnreadPrompt] = []
    columns: dict[str, None] = {}
    try:
        with path.open("rb") as opened:
            for number, row in table_rows(path.suffix.lower(), opened):
                if len(rows) >= MOST_ROWS:
                    raise TrainingError(f"--from {name} has more than {MOST_ROWS} rows: part it")
                columns |= dict.fromkeys(_plain_name(key) for key in row)
                rows.append(_read_row(number, row))
    except (DeadInput, OSError) as error:
        raise TrainingError(f"--from {name}: {error}") from error
    if not rows:
        raise TrainingError(f"--from {name} has no rows below its column names")
    unread = [one for one in columns if one not in _KNOWN | _BESIDE | {BROKEN, EXTRA}]
    return PromptTable(path, tuple(rows), tuple(map(readable, unread)))


def _plain_name(name: object) -> str:
    return str(name).strip().lower()


def _read_row(number: int, row: Mapping[str, Any]) -> PromptRow | UnreadPrompt:
    if BROKEN in row:
        return UnreadPrompt(number, readable(str(row[BROKEN])))
    cells = {_plain_name(name): value for name, value in row.items()}
    for alias, name in _ALIASES.items():
        if cells.get(name) in (None, ""):
            cells[name] = cells.get(alias)
    if isinstance(cells.get("chords"), Sequence) and not isinstance(cells["chords"], str):
        cells["chords"] = " ".join(map(str, cells["chords"]))
    try:
        sections = next(filter(None, (_sections(cells.get(name)) for name in _SECTION)), ())
        options = ControlOptions.of_cells(cells)._replace(sections=sections)
        return PromptRow(
            number,
            text_of(cells, CAPTION),
            options,
            _seconds(cells),
            _seed(cells.get("seed")),
            SteerOptions.of_cells(cells),
            PiecePlace.of_cells(cells),
        )
    except (TrainingError, PipelineError) as error:
        return UnreadPrompt(number, str(error))


def _sections(value: object) -> tuple[str, ...]:
    """Sections of a cell, one a line, or of a list."""
    lines = value.splitlines() if isinstance(value, str) else value
    if not isinstance(lines, Sequence):
        return ()
    return tuple(str(line).strip() for line in lines if str(line).strip())


def _seconds(cells: Mapping[str, Any]) -> float | None:
    value = cells.get("seconds")
    if value in (None, ""):
        return None
    number = number_of(str(value))
    if number is None or number < 0.5:
        raise TrainingError(f"seconds {shown(str(value))} is not a length: expected 0.5 or more")
    return number


def _seed(value: object) -> int | None:
    if value in (None, ""):
        return None
    number = number_of(str(value))
    if number is None or number != int(number) or not 0 <= number <= _LARGEST_SEED:
        raise TrainingError(f"seed {shown(str(value))} is not a whole number of 0 or more")
    return int(number)


class RowJob(NamedTuple):
    """What is played for a row, and the options that ask for it."""

    number: int
    job: PieceJob
    options: ControlOptions
    files: AllowedFiles


class RowJobs(NamedTuple):
    """What can be played of a table, and the rows that cannot, in their order."""

    jobs: tuple[RowJob, ...]
    failed: tuple[UnreadPrompt, ...]


def row_jobs(asking: Asking, table: PromptTable, count: int = 1) -> RowJobs:
    """Jobs of all rows, `count` of each; options hold where a row says nothing.

    A file that a row names must lie in the folder of the table. Raises `TrainingError` where no row
    can be played.
    """
    own = frozenset(value for value in (*asking.options, *asking.steer) if isinstance(value, str))
    files = AllowedFiles(table.path.parent, is_bound=True, own=own | set(asking.options.sections))
    jobs: list[RowJob] = []
    failed: list[UnreadPrompt] = []
    for row in table.rows:
        made = row if isinstance(row, UnreadPrompt) else _row_request(asking, row, files)
        if isinstance(made, UnreadPrompt):
            failed.append(made)
            continue
        request, options, seed = made
        for number in range(count):
            key = f"{row.number}-{number}" if count > 1 else str(row.number)
            jobs.append(RowJob(row.number, PieceJob(request, seed, key), options, files))
    if not jobs:
        first = failed[0]
        raise TrainingError(
            f"--from {readable(str(table.path))}: none of its {len(table.rows)} rows can be "
            f"played; row {first.number}: {first.reason}"
        )
    return RowJobs(tuple(jobs), tuple(failed))


def _row_request(
    asking: Asking, row: PromptRow, files: AllowedFiles
) -> tuple[SamplingRequest, ControlOptions, int] | UnreadPrompt:
    options, steer = row.options.over(asking.options), row.steer.over(asking.steer)
    seed = asking.seed if row.seed is None else row.seed
    if not (row.caption or options.sections or steer.recording):
        return UnreadPrompt(row.number, "has no caption: write one, or sections")
    try:
        request = asking.request_of_row(
            row.caption, options, row.seconds or asking.seconds, seed, files, steer, row.place
        )
    except (TrainingError, PipelineError, SchemaError) as error:
        return UnreadPrompt(row.number, str(error))
    return request, options, seed


def manifest_text(jobs: Sequence[RowJob], files: Sequence[str]) -> str:
    """The manifest of what was played as CSV: file, caption, and what options asked for in the
    form that `evaluate` reads.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, _MANIFEST_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for one, file in zip(jobs, files, strict=True):
        writer.writerow({"file": file, **_asked_cells(one)})
    return out.getvalue()


def _asked_cells(one: RowJob) -> dict[str, str]:
    """What was asked of a piece; what it changes on its way is left empty."""
    piece, options = one.job.request.piece, one.options
    sure = surely_requested(piece.controls.labels)
    has_tempo = options.bpm or options.beats or options.sections
    has_key = (options.key or options.sections) and not piece.controls.keys
    return {
        "caption": piece.prompt,
        "seconds": f"{one.job.request.labels.duration_s:g}",
        "bpm": f"{sure.bpm:g}" if has_tempo and sure.bpm else "",
        "key": sure.key.name if has_key and sure.key else "",
        "chords": " ".join(_asked_chords(sure.chords, options, one.files)),
        "meter": str(sure.meter) if (has_tempo or options.meter) and sure.meter else "",
    }


def _asked_chords(
    sure: Sequence[str], options: ControlOptions, files: AllowedFiles
) -> tuple[str, ...]:
    """One round of a chart; of chords with times, all."""
    written = options.chords
    if written is None:
        return tuple(sure) if options.sections else ()
    if files.path(written, "--chords") or read_parts(written, "--chords", LONGEST_S)[0].span:
        return tuple(sure)
    return tuple(label for label in read_chart(written).labels if label != NO_CHORD)
