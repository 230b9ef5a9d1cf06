"""A steady beat grid, and chords laid over it."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from schemas.chord import NO_CHORD
from schemas.labels import TIME_DECIMALS, ChordSegment
from training.errors import TrainingError
from training.prompt_controls.chart import Chart, in_symbols

# A start that a text writes with one decimal is up to half of 0.1 s away from the beat that it
# means.
_WRITTEN_TOLERANCE_S: Final = 0.05


class Grid(NamedTuple):
    """Beats of a steady tempo within `duration_s`: times in seconds and numbers in the bar."""

    times_s: tuple[float, ...]
    numbers: tuple[int, ...]
    bpm: float
    beats_per_bar: int
    duration_s: float

    @property
    def bars(self) -> tuple[int, ...]:
        """Indices of the beats at which bars begin; the first holds beats before its downbeat."""
        starts = [index for index, number in enumerate(self.numbers) if number == 1]
        return (0, *starts[1:]) if starts else (0,)

    @property
    def first_downbeat(self) -> int:
        """Place of the first downbeat; of the first beat where there is none."""
        return self.numbers.index(1) if 1 in self.numbers else 0

    def __str__(self) -> str:
        """As an error names it: ``10 s at 120 BPM``."""
        return f"{self.duration_s:g} s at {self.bpm:g} BPM"


class TimelineChord(NamedTuple):
    """A Harte label and the place of the beat at which it begins."""

    beat: int
    label: str


class ChordTimeline(NamedTuple):
    """Chord segments that cover the duration, and what had to be left out of them, in words."""

    segments: tuple[ChordSegment, ...]
    notes: tuple[str, ...] = ()


def beat_grid(
    bpm: float, beats_per_bar: int, duration_s: float, *, start_s: float = 0.0, number: int = 1
) -> Grid:
    """Beats from `start_s`, the first one with this number in its bar, to strictly before
    `duration_s`, in whole milliseconds.

    >>> grid = beat_grid(90, 3, 3.0)
    >>> grid.times_s, grid.numbers
    ((0.0, 0.667, 1.333, 2.0, 2.667), (1, 2, 3, 1, 2))
    """
    times_s: list[float] = []
    while (time_s := round(start_s + len(times_s) * 60 / bpm, TIME_DECIMALS)) < duration_s:
        times_s.append(time_s)
    numbers = tuple((number - 1 + index) % beats_per_bar + 1 for index in range(len(times_s)))
    return Grid(tuple(times_s), numbers, bpm, beats_per_bar, duration_s)


def grid_from_chords(
    starts_s: Sequence[float], bpm: float, beats_per_bar: int, duration_s: float
) -> Grid:
    """The grid whose beats, then downbeats, are nearest to these starts, with a downbeat on one.

    A start at 0 s may be where a clip was cut, so it decides only where there is no other.

    >>> grid_from_chords([0.0, 1.3, 3.3, 5.3], 120, 4, 6.0).times_s[:3]
    (0.3, 0.8, 1.3)
    """
    beat_s = 60 / bpm
    anchors = [start_s for start_s in starts_s if start_s > 0] or list(starts_s)

    def strays(downbeat_s: float) -> tuple[float, float]:
        def off(unit: float) -> float:
            return sum(abs((one - downbeat_s + unit / 2) % unit - unit / 2) for one in anchors)

        return round(off(beat_s), 6), round(off(beat_s * beats_per_bar), 6)

    downbeat_s = min(anchors, key=strays)
    before = int(downbeat_s / beat_s + 1e-6)
    first_s = max(0.0, downbeat_s - before * beat_s)
    return beat_grid(
        bpm, beats_per_bar, duration_s, start_s=first_s, number=-before % beats_per_bar + 1
    )


def chart_timeline(chart: Chart, grid: Grid) -> ChordTimeline:
    """A chart over the bars of a grid, from the top again as often as there is time.

    A bar of several chords is shared evenly, by beats. Chords of which nobody says how long they
    last have a bar each or, where there are more of them than bars, an even share of the beats. A
    measured chart of more bars than there are is cut, which a note says. Raises `TrainingError`
    where two chords would share a beat.
    """
    starts = grid.bars
    if not chart.is_measured and len(chart.bars) > len(starts):
        return ChordTimeline(segments_of(_squeezed(chart, grid), grid))
    chords: list[TimelineChord] = []
    for number, start in enumerate(starts):
        labels = chart.bars[number % len(chart.bars)]
        if len(labels) > grid.beats_per_bar:
            raise TrainingError(
                f"bar {number % len(chart.bars) + 1} of the chords, "
                f"{in_symbols(labels)!r}, has {len(labels)} chords: "
                f"expected at most one for each of its {grid.beats_per_bar} beats"
            )
        end = starts[number + 1] if number + 1 < len(starts) else len(grid.times_s)
        downbeat = start if number else grid.first_downbeat
        for part, label in enumerate(labels):
            beat = downbeat + part * grid.beats_per_bar // len(labels) if part else start
            if beat < end:
                chords.append(TimelineChord(beat, label))
    left_out = len(chart.bars) - len(starts)
    note = (
        f"the chords fill {len(chart.bars)} bars, {grid} have {len(starts)}: the rest is left out"
    )
    return ChordTimeline(segments_of(chords, grid), (note,) if left_out > 0 else ())


def _squeezed(chart: Chart, grid: Grid) -> list[TimelineChord]:
    """One chord after the other, each with an even share of the beats."""
    labels, beats = [bar[0] for bar in chart.bars], len(grid.times_s)
    if len(labels) > beats:
        raise TrainingError(
            f"{len(labels)} chords are requested, but {grid} have {beats} beats and a beat "
            "holds one chord at most: request fewer chords, a faster tempo or a longer duration"
        )
    return [
        TimelineChord(number * beats // len(labels), label) for number, label in enumerate(labels)
    ]


def even_segments(labels: Sequence[str], beats_each: int, grid: Grid) -> tuple[ChordSegment, ...]:
    """Chords of so many beats each from the first downbeat on, round and round to the end."""
    beats = range(grid.first_downbeat, len(grid.times_s), beats_each)
    return segments_of(
        [TimelineChord(beat, labels[number % len(labels)]) for number, beat in enumerate(beats)],
        grid,
    )


def segments_of(chords: Sequence[TimelineChord], grid: Grid) -> tuple[ChordSegment, ...]:
    """Segments of chords in the order of their beats: the first begins at 0 s, the last ends with
    the clip, equal neighbours are one.
    """
    runs = [next(run) for _, run in groupby(chords, key=lambda one: one.label)]
    times_s = [0.0, *(grid.times_s[one.beat] for one in runs[1:]), grid.duration_s]
    return tuple(
        ChordSegment(start_s=start_s, end_s=end_s, label=one.label)
        for one, (start_s, end_s) in zip(runs, pairwise(times_s), strict=True)
    )


def timed_segments(timed: Sequence[tuple[str, float]], grid: Grid) -> tuple[ChordSegment, ...]:
    """Chords that begin when the text says, or on the beat where one is so near that rounding
    explains it; no chord before the first.

    All must begin before the clip ends.
    """
    runs = [next(run) for _, run in groupby(timed, key=lambda one: one[0])]
    starts = [(label, _on_beat(start_s, grid)) for label, start_s in runs]
    if starts[0][1] > 0:
        starts = [(NO_CHORD, 0.0), *starts]
    ends = [*(start_s for _, start_s in starts[1:]), grid.duration_s]
    return tuple(
        ChordSegment(start_s=start_s, end_s=end_s, label=label)
        for (label, start_s), end_s in zip(starts, ends, strict=True)
        if end_s > start_s  # two so close that they share a beat: the later one stays
    )


def _on_beat(start_s: float, grid: Grid) -> float:
    nearest = min(grid.times_s, key=lambda time_s: abs(time_s - start_s), default=start_s)
    return (
        nearest
        if 0 < abs(nearest - start_s) <= _WRITTEN_TOLERANCE_S
        else round(start_s, TIME_DECIMALS)
    )
