"""Curves asked for by hand: levels in decibels between points, notes a second in parts."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from schemas.controls import CONTROL_RATE_HZ, DYNAMICS_FLOOR_DB
from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.timed_controls.files import file_rows, number_of, shown
from training.timed_controls.melody import frame_count, frames_between
from training.timed_controls.parts import Part, check_apart, read_parts

_POINT: Final = re.compile(r"(\d+(?:\.\d+)?)\s?:\s?([-−+]?\d+(?:\.\d+)?)")
_EXPECTED: Final = (
    "a level in dB such as '-20', points of time and level such as '0:-30 5:-12', with ; where "
    "nothing is asked for between two, or words such as 'quiet loud quiet'"
)
MOST_NOTES: Final = 50.0  # a second
# of full scale, over about a second; music in shards lies about -40 to -10
LEVEL_WORDS: Final = {
    "silent": -60.0,
    "pp": -38.0,
    "quiet": -34.0,
    "soft": -34.0,
    "p": -34.0,
    "mp": -28.0,
    "medium": -25.0,
    "mf": -22.0,
    "loud": -16.0,
    "f": -16.0,
    "ff": -12.0,
}
_VERY_DB: Final = 4.0
_LEVEL_WORD: Final = re.compile(
    rf"(very\s+)?\b({'|'.join(sorted(LEVEL_WORDS, key=len, reverse=True))})\b"
)


class LevelPoint(NamedTuple):
    """A level, relative to full scale, at a time in seconds."""

    time_s: float
    db: float


LevelRun = tuple[LevelPoint, ...]  # points with a line between each two


def levels_of_text(text: str, duration_s: float) -> tuple[LevelRun, ...]:
    """A level for all of the time, runs of points, or words: each two have as much time between
    them, in all of the time or in their part of it.

    Raises `TrainingError` for what is none of these.

    >>> levels_of_text("0:-30 2:-12; 4:-20", 8)[0]
    (LevelPoint(time_s=0.0, db=-30.0), LevelPoint(time_s=2.0, db=-12.0))
    >>> levels_of_text("-20", 8)
    ((LevelPoint(time_s=0.0, db=-20.0), LevelPoint(time_s=8, db=-20.0)),)
    >>> [tuple(point) for point in levels_of_text("quiet loud quiet", 8)[0]]
    [(0.0, -34.0), (4.0, -16.0), (8.0, -34.0)]
    """
    if any(word in LEVEL_WORDS for word in re.findall(r"[a-z]+", text.lower())):
        return _runs_of_words(text, duration_s)
    level = number_of(text.replace("−", "-"))
    if level is not None:
        db = _level(level, text)
        return ((LevelPoint(0.0, db), LevelPoint(duration_s, db)),)
    runs = [_run(part) for part in text.split(";") if part.strip()]
    if not runs:
        raise TrainingError(f"--intensity {shown(text)} is not a curve: expected {_EXPECTED}")
    return _checked(runs, "--intensity", duration_s)


def _runs_of_words(text: str, duration_s: float) -> tuple[LevelRun, ...]:
    """Runs of words, one for each part of the time that is named."""
    parts = read_parts(text, "--intensity", duration_s)
    return tuple(_words(part.text, part.span or Span(0.0, duration_s)) for part in parts)


def _words(text: str, span: Span) -> LevelRun:
    found = _LEVEL_WORD.findall(text.lower())
    left = _LEVEL_WORD.sub("", text.lower()).strip(" ,;-\n\t")
    if left or not found:
        raise TrainingError(
            f"--intensity: {shown(left or text)} is not a level in words: expected some of "
            f"{', '.join(LEVEL_WORDS)}, each also as 'very …'"
        )
    levels = [_in_words(bool(very), word) for very, word in found]
    if len(levels) == 1:
        levels *= 2
    times_s = np.linspace(span.start_s, span.end_s, len(levels))
    return tuple(LevelPoint(float(time_s), db) for time_s, db in zip(times_s, levels, strict=True))


def _in_words(very: bool, word: str) -> float:
    """A word's level; with "very", further from the middle."""
    level = LEVEL_WORDS[word]
    away = math.copysign(_VERY_DB, level - LEVEL_WORDS["medium"])
    return level + away if very else level


def _run(text: str) -> LevelRun:
    left = _POINT.sub("", text).strip(" ,\n\t")
    if left:
        raise TrainingError(f"--intensity: {shown(left)} is not a point: expected {_EXPECTED}")
    return tuple(
        LevelPoint(float(time), _level(float(db.replace("−", "-")), db))
        for time, db in _POINT.findall(text)
    )


def _level(db: float, written: str) -> float:
    if not DYNAMICS_FLOOR_DB <= db <= 0:
        raise TrainingError(
            f"--intensity: {shown(written)} is not a level: expected {DYNAMICS_FLOOR_DB:g} to 0 dB "
            "of full scale; music lies about -40 to -10"
        )
    return db


def levels_of_file(path: Path, duration_s: float) -> tuple[LevelRun, ...]:
    """Points of a table of time and decibels; a line with an empty level parts two runs.

    Raises `TrainingError` for what cannot be read, by its line.
    """
    runs: list[list[LevelPoint]] = [[]]
    for row in file_rows(path, range(1, 3)):
        if len(row.cells) == 1 or not row.cells[1]:
            runs.append([])
            continue
        db = row.number_in(1, "a level in dB of full scale", DYNAMICS_FLOOR_DB, 0)
        runs[-1].append(LevelPoint(row.seconds(0), db))
    return _checked([tuple(run) for run in runs if run], str(path), duration_s)


def _checked(runs: Sequence[LevelRun], source: str, duration_s: float) -> tuple[LevelRun, ...]:
    times_s = [point.time_s for run in runs for point in run]
    if not times_s or times_s[0] >= duration_s:
        raise TrainingError(f"{source} has no point before the end, {duration_s:g} s")
    if times_s != sorted(set(times_s)):
        raise TrainingError(f"{source}: its times do not ascend: write the points in their order")
    return tuple(runs)


def level_curve(runs: Sequence[LevelRun], duration_s: float) -> tuple[float | None, ...]:
    """The level in the middle of each frame by lines between points, none outside of the runs.

    >>> level_curve([(LevelPoint(0.0, -20.0), LevelPoint(0.2, -10.0))], 0.3)
    (-17.5, -12.5, None)
    """
    frames: list[float | None] = [None] * frame_count(duration_s)
    for run in runs:
        times_s, levels = [point.time_s for point in run], [point.db for point in run]
        # a point alone holds for the frame that it falls in
        last_s = times_s[-1] if len(run) > 1 else times_s[0] + 1 / CONTROL_RATE_HZ
        for frame in frames_between(Span(times_s[0], last_s), len(frames)):
            at_s = (frame + 0.5) / CONTROL_RATE_HZ
            frames[frame] = round(float(np.interp(at_s, times_s, levels)), 2)
    return tuple(frames)


def densities_of_parts(parts: Sequence[Part], duration_s: float) -> list[tuple[Span, float]]:
    """Notes or strokes a second, for all of the time or by parts.

    >>> from training.timed_controls.parts import read_parts
    >>> densities_of_parts(read_parts("0-2: 4; 2-: 8.5", "--density", 4), 4)[1]
    (Span(start_s=2.0, end_s=4), 8.5)
    """
    found: list[tuple[Span, float]] = []
    for part in parts:
        number = number_of(part.text)
        if number is None or not 0 <= number <= MOST_NOTES:
            raise TrainingError(
                f"--density {shown(part.text)} is not a number of notes a second: expected 0 to "
                f"{MOST_NOTES:g}, or parts such as '0-4: 2; 4-8: 6', or a file (.csv)"
            )
        found.append((part.span or Span(0.0, duration_s), number))
    return found


def densities_of_file(path: Path, duration_s: float) -> list[tuple[Span, float]]:
    """Lines of start, end and notes a second.

    Raises `TrainingError` for what cannot be read, by its line.
    """
    found: list[tuple[Span, float]] = []
    for row in sorted(file_rows(path, range(3, 4)), key=lambda row: row.seconds(0)):
        span = Span(row.seconds(0), row.seconds(1))
        if span.end_s <= span.start_s:
            raise row.fault(f"ends at {span.end_s:g} s, not after its start at {span.start_s:g} s")
        found.append((span, row.number_in(2, "a number of notes a second", 0, MOST_NOTES)))
    check_apart([span for span, _ in found], str(path))
    if found[0][0].start_s >= duration_s:
        raise TrainingError(f"{path} has no line before the end, {duration_s:g} s")
    return found


def density_curve(
    densities: Sequence[tuple[Span, float]], duration_s: float
) -> tuple[float | None, ...]:
    """Notes a second in each frame, none where nothing is asked for."""
    frames: list[float | None] = [None] * frame_count(duration_s)
    for span, number in densities:
        for frame in frames_between(span, len(frames)):
            frames[frame] = number
    return tuple(frames)
