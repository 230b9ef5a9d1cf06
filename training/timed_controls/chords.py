"""Chords with times: from a text in parts, from a Harte .lab file, from CSV."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from schemas.chord import NO_CHORD
from schemas.labels import TIME_DECIMALS, ChordSegment
from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.prompt_controls.chart import Chart, chord_label, read_chart
from training.prompt_controls.grid import Grid, chart_timeline
from training.timed_controls.files import FileRow, file_rows, shown
from training.timed_controls.parts import Part, check_apart, joined

_UNKNOWN: Final = "X"  # of Harte files: nobody says which chord
_SHORTEST_S: Final = 0.002
_TO_CHANGES: Final = 2  # columns of a file that gives changes alone


class TimedChords(NamedTuple):
    """Segments that fill a piece, N where none is asked for, and when chords are asked for: none
    for all of the time.
    """

    segments: tuple[ChordSegment, ...]
    spans: tuple[Span, ...] | None
    notes: tuple[str, ...] = ()
    have_times: bool = False  # of their own, not laid on a grid


def chords_of_file(path: Path, duration_s: float) -> TimedChords:
    """Chords of a file: lines of start, end and label (a Harte .lab), or of time and label, each
    until the next. Labels are Harte syntax or lead-sheet symbols; X is not known.

    What comes after the end is left out. Raises `TrainingError` for what cannot be read, by its
    line.
    """
    rows = file_rows(path, range(2, 4))
    changes = [len(row.cells) == _TO_CHANGES for row in rows]
    if any(changes) and not all(changes):
        row = rows[changes.index(not changes[0])]
        raise row.fault("has not as many columns as the lines before it")
    starts = [row.seconds(0) for row in rows]
    ends = (
        [*starts[1:], max(duration_s, starts[-1])]
        if changes[0]
        else [row.seconds(1) for row in rows]
    )
    found: list[tuple[Span, str]] = []
    for row, start_s, end_s in zip(rows, starts, ends, strict=True):
        label = _label(row)
        if end_s < start_s or (found and start_s < found[-1][0].start_s):
            raise row.fault(f"begins at {start_s:g} s, out of order: sort the lines by their start")
        if label != _UNKNOWN:
            found.append((Span(start_s, end_s), label))
    check_apart([span for span, _ in found], str(path))
    return laid_out(found, duration_s, str(path))._replace(have_times=True)


def _label(row: FileRow) -> str:
    written = row.cells[-1]
    label = _UNKNOWN if written == _UNKNOWN else chord_label(written)
    if label is None:
        raise row.fault(
            f"{shown(written)} is not a chord that models know: expected such as A:min7, C:maj/3, "
            "F#m7, N for no chord, X where it is not known"
        )
    return label


def chords_of_parts(parts: Sequence[Part], grid: Grid, flag: str = "--chords") -> TimedChords:
    """Charts, each within its span.

    Chords of which nobody says how long they last share the span evenly, and change on the beat
    nearest to that; with bar lines or counts they are measured in the bars of the grid from the
    start of the span, from the top again to its end.

    >>> from training.prompt_controls.grid import beat_grid
    >>> from training.timed_controls.parts import read_parts
    >>> parts = read_parts("0-4: Am F; 6-8: C", "--chords", 8)
    >>> [(one.start_s, one.label) for one in chords_of_parts(parts, beat_grid(60, 4, 8)).segments]
    [(0.0, 'A:min'), (2.0, 'F:maj'), (4.0, 'N'), (6.0, 'C:maj')]
    """
    found: list[tuple[Span, str]] = []
    notes: list[str] = []
    for part in parts:
        span = part.span or Span(0.0, grid.duration_s)
        chart = read_chart(part.text, flag=flag)
        if chart.is_measured:
            cut = _cut(grid, span)
            timeline = chart_timeline(chart, cut)
            notes += timeline.notes
            found += [
                (Span(span.start_s + one.start_s, span.start_s + one.end_s), one.label)
                for one in timeline.segments
            ]
        else:
            found += _shared(chart, span, grid)
    return laid_out(found, grid.duration_s, flag)._replace(notes=tuple(notes))


def _cut(grid: Grid, span: Span) -> Grid:
    """The beats within a span, from its start, of which the first begins a bar."""
    length_s = round(span.end_s - span.start_s, TIME_DECIMALS)
    inside = [
        index
        for index, time_s in enumerate(grid.times_s)
        if span.start_s - _SHORTEST_S <= time_s < span.end_s - _SHORTEST_S
    ]
    if not inside:
        raise TrainingError(
            f"--chords: no beat falls between {span.start_s:g} and {span.end_s:g} s, so bars "
            "cannot be counted there: leave out bar lines and counts"
        )
    times_s = [max(0.0, round(grid.times_s[i] - span.start_s, TIME_DECIMALS)) for i in inside]
    per_bar = grid.beats_per_bar
    numbers = [place % per_bar + 1 for place in range(len(inside))]
    return Grid(tuple(times_s), tuple(numbers), grid.bpm, per_bar, length_s)


def _shared(chart: Chart, span: Span, grid: Grid) -> list[tuple[Span, str]]:
    """The chords of a chart with an even share of a span each."""
    labels = chart.labels
    each_s = (span.end_s - span.start_s) / len(labels)
    even = [span.start_s + number * each_s for number in range(1, len(labels))]
    inside = [time_s for time_s in grid.times_s if span.start_s < time_s < span.end_s]
    on_beats = [_nearest(time_s, inside) for time_s in even if inside]
    changes = on_beats if len(set(on_beats)) == len(even) else even
    edges = [span.start_s, *changes, span.end_s]
    return [(Span(*edge), label) for edge, label in zip(pairwise(edges), labels, strict=True)]


def _nearest(time_s: float, times_s: Sequence[float]) -> float:
    """Of times in order, the one nearest to a time, the earlier of two as near."""
    index = bisect_left(times_s, time_s)
    around = times_s[max(0, index - 1) : index + 1]
    return min(around, key=lambda other_s: abs(other_s - time_s))


def laid_out(found: Sequence[tuple[Span, str]], duration_s: float, source: str) -> TimedChords:
    """Chords in order with N between them, cut at the end.

    Raises `TrainingError` where none sounds before the end.
    """
    inside = [
        (Span(_written(span.start_s), _written(min(span.end_s, duration_s))), label)
        for span, label in found
    ]
    inside = [(span, label) for span, label in inside if span.end_s - span.start_s > _SHORTEST_S]
    if not inside:
        raise TrainingError(f"{source} has no chord before the end, {duration_s:g} s")
    edge_s, segments = 0.0, list[ChordSegment]()
    for span, label in inside:
        start_s = edge_s if span.start_s - edge_s <= _SHORTEST_S else span.start_s
        if start_s > edge_s:
            _add(segments, NO_CHORD, edge_s, start_s)
        _add(segments, label, start_s, span.end_s)
        edge_s = span.end_s
    if duration_s - edge_s > _SHORTEST_S:
        _add(segments, NO_CHORD, edge_s, duration_s)
    left_out = len(found) - len(inside)
    notes = (f"{left_out} chords of {source} come after the end: left out",) if left_out else ()
    return TimedChords(tuple(segments), joined([span for span, _ in inside], duration_s), notes)


def _add(segments: list[ChordSegment], label: str, start_s: float, end_s: float) -> None:
    """One segment more; equal neighbours are one."""
    if segments and segments[-1].label == label:
        segments[-1] = segments[-1].replaced(end_s=end_s)
    else:
        segments.append(ChordSegment(start_s=start_s, end_s=end_s, label=label))


def _written(time_s: float) -> float:
    return round(time_s, TIME_DECIMALS)
