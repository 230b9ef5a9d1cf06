"""Melodies asked for by hand: notes of a text, of CSV or of MIDI, as a curve of pitch classes.

Frames in which no note sounds are not known: what a model plays there is its own. A rest, ``R``,
asks that nothing sounds above middle C.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from schemas.controls import CONTROL_RATE_HZ, NO_PITCH
from schemas.errors import SchemaError
from schemas.pitch import parse_note
from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.prompt_controls.grid import Grid
from training.timed_controls.files import FileRow, file_rows, number_of, shown
from training.timed_controls.midi import midi_notes
from training.timed_controls.parts import Part, check_apart

_NOTE: Final = re.compile(r"([A-Ga-g](?:#|b|♯|♭)?|[Rr])(-?\d)?(?::(\d{1,3}(?:\.\d{1,4})?))?")
_NAME: Final = re.compile(r"([A-Ga-g](?:#|b|♯|♭)?)(-?\d)?")
_MIDI: Final = (".mid", ".midi")
_EXPECTED: Final = "notes such as 'C4 D4 E4:2 R' (a beat each, or so many as stand after the colon)"


class MelodyNote(NamedTuple):
    """A pitch class, or `NO_PITCH` for a rest, and when it sounds, in seconds."""

    start_s: float
    end_s: float
    pitch: int


def melody_of_parts(parts: Sequence[Part], grid: Grid) -> tuple[MelodyNote, ...]:
    """The notes of texts, one after the other in beats of the grid, each part within its span.

    A text without a span begins on the first downbeat. Raises `TrainingError` for what is not a
    note, with its place.

    >>> from training.prompt_controls.grid import beat_grid
    >>> melody_of_parts([Part(Span(2, 5), "C4 F#:2 R")], beat_grid(60, 4, 8))[:2]
    (MelodyNote(start_s=2.0, end_s=3.0, pitch=0), MelodyNote(start_s=3.0, end_s=5.0, pitch=6))
    """
    found: list[MelodyNote] = []
    for part in parts:
        span = part.span or Span(_first_downbeat_s(grid), grid.duration_s)
        found += _within(_sung(part.text, span.start_s, grid), span)
    if not found:
        raise TrainingError(f"--melody names no note: expected {_EXPECTED}")
    return tuple(found)


def _first_downbeat_s(grid: Grid) -> float:
    return grid.times_s[grid.first_downbeat] if grid.times_s else 0.0


def _sung(text: str, start_s: float, grid: Grid) -> list[MelodyNote]:
    """Notes from a start on, each as many beats long as it says."""
    symbols = re.split(r"[\s,;|]+", text.strip())
    beat = _beat_at(start_s, grid)
    out: list[MelodyNote] = []
    for number, symbol in enumerate(filter(None, symbols), start=1):
        match = _NOTE.fullmatch(symbol)
        beats = float(match[3] or 1) if match else 0.0
        if not match or beats <= 0:
            raise TrainingError(
                f"--melody: {shown(symbol)} (note {number}) is not a note: expected {_EXPECTED}"
            )
        pitch = NO_PITCH if match[1] in "Rr" else parse_note(match[1])
        out.append(MelodyNote(_time_of(beat, grid), _time_of(beat + beats, grid), pitch))
        beat += beats
    return out


def _beat_at(time_s: float, grid: Grid) -> float:
    """How many beats after the grid's first one a time falls."""
    if len(grid.times_s) < 2:
        return time_s * grid.bpm / 60
    return _between(time_s, np.array(grid.times_s), np.arange(len(grid.times_s), dtype=float))


def _time_of(beat: float, grid: Grid) -> float:
    """When so many beats after the first one have passed; beyond the last in the tempo there."""
    if len(grid.times_s) < 2:
        return beat * 60 / grid.bpm
    return _between(beat, np.arange(len(grid.times_s), dtype=float), np.array(grid.times_s))


def _between(at: float, places: "np.ndarray", values: "np.ndarray") -> float:
    """A value between those at places that ascend; outside of them on the line of the last two."""
    index = int(np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 2))
    slope = (values[index + 1] - values[index]) / (places[index + 1] - places[index])
    return round(float(values[index] + (at - places[index]) * slope), 6)


def _within(notes: Sequence[MelodyNote], span: Span) -> list[MelodyNote]:
    cut = [one._replace(end_s=min(one.end_s, span.end_s)) for one in notes]
    return [one for one in cut if one.start_s < one.end_s]


def melody_of_file(path: Path, duration_s: float) -> tuple[MelodyNote, ...]:
    """The notes of MIDI, of which the highest that sounds counts, or of a table of start, end and
    note: a name (``C``, ``F#4``), a MIDI number (60) or R.

    Raises `TrainingError` for what cannot be read, and where no note begins before the end.
    """
    if path.suffix.lower() in _MIDI:
        notes = tuple(_highest(midi_notes(path)))
    else:
        rows = sorted(file_rows(path, range(3, 4)), key=lambda row: row.seconds(0))
        notes = tuple(map(_of_row, rows))
        check_apart([Span(one.start_s, one.end_s) for one in notes], str(path))
    inside = _within(notes, Span(0.0, duration_s))
    if not inside:
        raise TrainingError(f"{path} has no note before the end, {duration_s:g} s")
    return tuple(inside)


def _of_row(row: FileRow) -> MelodyNote:
    start_s, end_s, written = row.seconds(0), row.seconds(1), row.cells[2]
    if end_s <= start_s:
        raise row.fault(f"its note ends at {end_s:g} s, not after its start at {start_s:g} s")
    if written.upper() == "R":
        return MelodyNote(start_s, end_s, NO_PITCH)
    number = number_of(written)
    if number is not None and number == int(number) and 0 <= number <= 127:
        return MelodyNote(start_s, end_s, int(number) % 12)
    match = _NAME.fullmatch(written)
    if not match:
        raise row.fault(
            f"{shown(written)} is not a note: expected a name such as F#4, a MIDI number of 0 to "
            "127, or R for a rest"
        )
    try:
        return MelodyNote(start_s, end_s, parse_note(match[1]))
    except SchemaError as error:
        raise row.fault(str(error)) from error


def _highest(notes: Sequence[tuple[float, float, int]]) -> list[MelodyNote]:
    """The highest note at each time, by a walk over all starts and ends.

    >>> _highest([(0.0, 2.0, 60), (1.0, 3.0, 64)])[1]
    MelodyNote(start_s=1.0, end_s=3.0, pitch=4)
    """
    edges = sorted(
        [(start_s, 1, number) for start_s, _, number in notes]
        + [(end_s, 0, number) for _, end_s, number in notes]
    )
    sounding = np.zeros(128, int)
    out: list[MelodyNote] = []
    before_s, top = 0.0, -1
    for at_s, begins, number in edges:
        if top >= 0 and at_s > before_s:
            _append(out, MelodyNote(before_s, at_s, top % 12))
        sounding[number] += 1 if begins else -1
        [sounds] = np.nonzero(sounding)
        before_s, top = at_s, int(sounds[-1]) if len(sounds) else -1
    return out


def _append(notes: list[MelodyNote], note: MelodyNote) -> None:
    """One note more; the same one that goes on is one."""
    if notes and notes[-1].end_s == note.start_s and notes[-1].pitch == note.pitch:
        notes[-1] = notes[-1]._replace(end_s=note.end_s)
    else:
        notes.append(note)


def melody_curve(notes: Sequence[MelodyNote], duration_s: float) -> tuple[int | None, ...]:
    """The pitch class at the middle of each frame, none where no note is asked for.

    >>> melody_curve([MelodyNote(0.1, 0.3, 7)], 0.4)
    (None, 7, 7, None)
    """
    frames: list[int | None] = [None] * frame_count(duration_s)
    for note in notes:
        for frame in frames_between(Span(note.start_s, note.end_s), len(frames)):
            frames[frame] = note.pitch
    return tuple(frames)


def frame_count(duration_s: float) -> int:
    """How many frames of a curve a piece has, the last one for what is left.

    >>> frame_count(2.04)
    21
    """
    return max(1, int(np.ceil(duration_s * CONTROL_RATE_HZ - 1e-6)))


def frames_between(span: Span, frames: int) -> range:
    """The frames whose middle lies within a span."""
    edges = (
        int(np.ceil(at_s * CONTROL_RATE_HZ - 0.5 - 1e-9)) for at_s in (span.start_s, span.end_s)
    )
    first, last = (min(max(0, edge), frames) for edge in edges)
    return range(first, last)
