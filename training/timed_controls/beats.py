"""Beats asked for by hand: tempos in parts, or a grid from a file."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from schemas.labels import TIME_DECIMALS
from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.prompt_controls.grid import Grid, beat_grid
from training.prompt_controls.requested import read_requested
from training.timed_controls.files import FileRow, file_rows, number_of, shown
from training.timed_controls.parts import Part, joined

_SHORTEST_S: Final = 0.1  # 600 beats a minute
_MOST_IN_BAR: Final = 15


class TimedBeats(NamedTuple):
    """A grid, and when beats are asked for: none for all of the time."""

    grid: Grid
    spans: tuple[Span, ...] | None


def beats_of_parts(parts: Sequence[Part], beats_per_bar: int, duration_s: float) -> TimedBeats:
    """Pieces of steady beats, each of BPM and, where it is not the usual one, a meter; each begins
    with a bar.

    Raises `TrainingError` for what is not a tempo or a meter.

    >>> from training.timed_controls.parts import read_parts
    >>> parts = read_parts("0-2: 60; 2-4: 120 3/4", "--beats", 4)
    >>> grid = beats_of_parts(parts, 4, 4.0).grid
    >>> grid.times_s, grid.numbers
    ((0.0, 1.0, 2.0, 2.5, 3.0, 3.5), (1, 2, 1, 2, 3, 1))
    """
    pieces = [_piece(part, beats_per_bar, duration_s) for part in parts]
    spans = [part.span or Span(0.0, duration_s) for part in parts]
    return TimedBeats(joined_grids(pieces, duration_s), joined(spans, duration_s))


def _piece(part: Part, beats_per_bar: int, duration_s: float) -> Grid:
    span = part.span or Span(0.0, duration_s)
    tempo, _, meter = part.text.partition(" ")
    bpm = number_of(tempo)
    if bpm is None:
        raise TrainingError(
            f"--beats {shown(part.text)} is not a tempo: expected beats per minute and, if need "
            "be, a meter, such as '0-5: 90; 5-10: 120 3/4', or a file (.csv, .lab, .txt)"
        )
    requested = read_requested("", bpm=bpm, meter=meter.strip() or None)
    if requested.meter:
        beats_per_bar = requested.meter.fact.beats_per_bar
    return beat_grid(bpm, beats_per_bar, span.end_s, start_s=span.start_s)


def joined_grids(pieces: Sequence[Grid], duration_s: float) -> Grid:
    """Grids one after the other; a beat that the next grid begins less than half of it later than
    is left out. Tempo and meter are those of most beats.
    """
    times_s: list[float] = []
    numbers: list[int] = []
    for piece in pieces:
        if times_s and piece.times_s and piece.times_s[0] - times_s[-1] < 30 / piece.bpm:
            times_s.pop()
            numbers.pop()
        times_s += piece.times_s
        numbers += piece.numbers
    longest = max(pieces, key=lambda piece: len(piece.times_s))
    return Grid(tuple(times_s), tuple(numbers), longest.bpm, longest.beats_per_bar, duration_s)


def beats_of_file(path: Path, beats_per_bar: int, duration_s: float) -> TimedBeats:
    """Beats of a file: a line each, its time in seconds and, if known, its number in the bar (1 is
    a downbeat).

    They are known from a beat before the first to a beat after the last. Raises `TrainingError`
    for what cannot be read, by its line, and for fewer than two before the end.
    """
    rows = [row for row in file_rows(path, range(1, 4)) if row.seconds(0) < duration_s]
    if len(rows) < 2:
        raise TrainingError(
            f"{path} has {len(rows)} beats before the end, {duration_s:g} s: expected two or more"
        )
    times_s = [round(row.seconds(0), TIME_DECIMALS) for row in rows]
    for row, (earlier_s, later_s) in zip(rows[1:], pairwise(times_s), strict=True):
        if later_s - earlier_s < _SHORTEST_S:
            raise row.fault(
                f"its beat at {later_s:g} s is not {_SHORTEST_S:g} s or more after the one before"
            )
    numbers = _numbers(rows, beats_per_bar)
    beat_s = median(later - earlier for earlier, later in pairwise(times_s))
    grid = Grid(
        tuple(times_s), tuple(numbers), round(60 / beat_s, 2), _usual_bar(numbers), duration_s
    )
    known = Span(max(0.0, times_s[0] - beat_s), min(duration_s, times_s[-1] + beat_s))
    return TimedBeats(grid, joined([known], duration_s))


def _numbers(rows: Sequence[FileRow], beats_per_bar: int) -> list[int]:
    """The last column of each line, or counted from one where there is but a time."""
    counted = [len(row.cells) == 1 for row in rows]
    if all(counted):
        return [place % beats_per_bar + 1 for place in range(len(rows))]
    if any(counted):
        row = rows[counted.index(not counted[0])]
        raise row.fault("gives a number where other lines give none, or none where they do")
    found: list[int] = []
    for row in rows:
        number = row.number_in(len(row.cells) - 1, "a beat's number in its bar", 1, _MOST_IN_BAR)
        if number != int(number):
            raise row.fault(f"{number:g} is not a whole number of a beat in its bar")
        found.append(int(number))
    return found


def _usual_bar(numbers: Sequence[int]) -> int:
    """Beats of most bars: the number before each downbeat."""
    lasts = [last for last, following in pairwise(numbers) if following == 1]
    return Counter(lasts).most_common(1)[0][0] if lasts else max(numbers)
