"""Beat grids to the millisecond, and chords laid over them."""

from itertools import pairwise

import numpy as np
import pytest

from schemas.labels import ChordSegment
from training.errors import TrainingError
from training.prompt_controls.chart import listed, read_chart
from training.prompt_controls.grid import (
    beat_grid,
    chart_timeline,
    even_segments,
    grid_from_chords,
    timed_segments,
)


def spans(segments: tuple[ChordSegment, ...]) -> list[tuple[float, float, str]]:
    return [(one.start_s, one.end_s, one.label) for one in segments]


@pytest.mark.parametrize(
    ("bpm", "beats_per_bar", "duration_s", "times_s", "numbers"),
    [
        (120, 4, 3.0, (0.0, 0.5, 1.0, 1.5, 2.0, 2.5), (1, 2, 3, 4, 1, 2)),
        (90, 3, 2.7, (0.0, 0.667, 1.333, 2.0, 2.667), (1, 2, 3, 1, 2)),
        (180, 6, 2.5, (0.0, 0.333, 0.667, 1.0, 1.333, 1.667, 2.0, 2.333), (1, 2, 3, 4, 5, 6, 1, 2)),
        (98.44, 4, 1.9, (0.0, 0.61, 1.219, 1.829), (1, 2, 3, 4)),
        (60, 4, 0.4, (0.0,), (1,)),
    ],
)
def test_beats_fall_where_tempo_and_meter_say(
    bpm: float,
    beats_per_bar: int,
    duration_s: float,
    times_s: tuple[float, ...],
    numbers: tuple[int, ...],
) -> None:
    grid = beat_grid(bpm, beats_per_bar, duration_s)
    assert (grid.times_s, grid.numbers) == (times_s, numbers)


def test_no_beat_falls_on_the_end_and_a_pick_up_counts_up_to_the_downbeat() -> None:
    assert beat_grid(120, 4, 2.0).times_s[-1] == 1.5
    grid = beat_grid(120, 4, 2.5, start_s=0.25, number=3)
    assert (grid.times_s, grid.numbers) == ((0.25, 0.75, 1.25, 1.75, 2.25), (3, 4, 1, 2, 3))
    assert grid.first_downbeat == 2
    assert grid.bars == (0,)  # the pick-up and the bar after it


def test_errors_of_rounding_do_not_add_up_over_a_long_clip() -> None:
    draw = np.random.default_rng(7)
    for bpm in draw.uniform(15, 400, 50).round(2).tolist():
        grid = beat_grid(bpm, 4, 60.0)
        assert all(
            abs(time_s - index * 60 / bpm) <= 0.000501 for index, time_s in enumerate(grid.times_s)
        )
        assert grid.times_s[-1] < 60.0 <= grid.times_s[-1] + 60 / bpm + 0.001


def test_chords_have_a_bar_each_and_start_again_from_the_top() -> None:
    timeline = chart_timeline(read_chart("Am F C G"), beat_grid(120, 4, 10))
    assert spans(timeline.segments) == [
        (0, 2, "A:min"),
        (2, 4, "F:maj"),
        (4, 6, "C:maj"),
        (6, 8, "G:maj"),
        (8, 10, "A:min"),
    ]
    assert timeline.notes == ()


def test_one_chord_is_one_segment_and_equal_neighbours_are_one() -> None:
    grid = beat_grid(90, 3, 5)
    assert spans(chart_timeline(read_chart("Am"), grid).segments) == [(0, 5, "A:min")]
    assert spans(chart_timeline(read_chart("Am Am F"), grid).segments) == [
        (0, 4, "A:min"),
        (4, 5, "F:maj"),
    ]


def test_more_chords_than_bars_share_the_beats_evenly() -> None:
    # two bars, eight beats
    timeline = chart_timeline(listed(("A:min", "F:maj", "C:maj", "G:maj")), beat_grid(60, 4, 8))
    assert spans(timeline.segments) == [
        (0, 2, "A:min"),
        (2, 4, "F:maj"),
        (4, 6, "C:maj"),
        (6, 8, "G:maj"),
    ]
    three = chart_timeline(listed(("A:min", "F:maj", "C:maj")), beat_grid(60, 4, 4))
    assert [segment.start_s for segment in three.segments] == [0, 1, 2]


def test_more_chords_than_beats_are_refused_with_what_to_do() -> None:
    with pytest.raises(TrainingError) as error:
        chart_timeline(listed(("A:min", "F:maj", "C:maj", "G:maj", "D:min")), beat_grid(60, 4, 4))
    assert str(error.value) == (
        "5 chords are requested, but 4 s at 60 BPM have 4 beats and a beat holds "
        "one chord at most: request fewer chords, a faster tempo or a longer duration"
    )


def test_bar_lines_place_chords_on_the_beats_of_their_bars() -> None:
    four = chart_timeline(read_chart("Dm7 G7 | Cmaj7"), beat_grid(60, 4, 8))
    assert spans(four.segments) == [(0, 2, "D:min7"), (2, 4, "G:7"), (4, 8, "C:maj7")]
    waltz = chart_timeline(read_chart("C G | F"), beat_grid(60, 3, 6))
    assert spans(waltz.segments) == [(0, 1, "C:maj"), (1, 3, "G:maj"), (3, 6, "F:maj")]


def test_a_measured_chart_of_too_many_bars_is_cut_and_that_is_said() -> None:
    timeline = chart_timeline(read_chart("C:2 | F | G"), beat_grid(120, 4, 5))
    assert spans(timeline.segments) == [(0, 4, "C:maj"), (4, 5, "F:maj")]
    assert timeline.notes == (
        "the chords fill 4 bars, 5 s at 120 BPM have 3: the rest is left out",
    )


def test_a_bar_of_more_chords_than_beats_is_refused_by_its_number() -> None:
    with pytest.raises(
        TrainingError,
        match=(
            "bar 2 of the chords, 'C D E F', has 4 chords: "
            "expected at most one for each of its 3 beats"
        ),
    ):
        chart_timeline(read_chart("Am | C D E F"), beat_grid(120, 3, 10))


def test_the_first_chord_covers_a_pick_up_and_the_second_starts_at_a_bar() -> None:
    timeline = chart_timeline(read_chart("C F | G"), beat_grid(60, 4, 9, start_s=0.5, number=4))
    assert spans(timeline.segments) == [(0, 3.5, "C:maj"), (3.5, 5.5, "F:maj"), (5.5, 9, "G:maj")]


def test_chords_of_two_beats_each_count_from_the_downbeat() -> None:
    assert spans(even_segments(["C:maj", "F:maj"], 2, beat_grid(60, 4, 5))) == [
        (0, 2, "C:maj"),
        (2, 4, "F:maj"),
        (4, 5, "C:maj"),
    ]
    shifted = even_segments(["C:maj", "F:maj"], 4, beat_grid(60, 4, 6, number=4))
    assert spans(shifted) == [(0, 5, "C:maj"), (5, 6, "F:maj")]


def test_chords_with_times_begin_then_or_on_the_beat_that_rounding_hid() -> None:
    grid = beat_grid(90, 4, 6)  # beats at 0, 0.667, 1.333, 2, 2.667 …
    assert spans(timed_segments([("A:min", 0.0), ("F:maj", 1.3), ("G:maj", 3.0)], grid)) == [
        (0, 1.333, "A:min"), (1.333, 3, "F:maj"), (3, 6, "G:maj"),
    ]  # fmt: skip
    assert spans(timed_segments([("A:min", 0.8)], grid)) == [(0, 0.8, "N"), (0.8, 6, "A:min")]


def test_a_grid_goes_through_the_starts_that_are_stated() -> None:
    grid = grid_from_chords([0.0, 1.3, 3.3, 5.3], 120, 4, 6.0)
    assert grid.times_s[:4] == (0.3, 0.8, 1.3, 1.8)
    assert grid.numbers[:4] == (3, 4, 1, 2)
    assert grid_from_chords([0.0], 100, 3, 4.0).times_s[0] == 0.0
    # three on beats, two a bar apart: beats count first
    by_beats = grid_from_chords([0.2, 0.7, 1.2, 2.4, 4.4], 120, 4, 6.0)
    assert by_beats.times_s[0] == 0.2
    off = grid_from_chords([0.0, 2.0, 4.0, 5.2], 120, 4, 6.0)  # one that strays moves nothing
    assert (off.times_s[0], off.numbers[0]) == (0.0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_laid_joins_without_gaps_and_covers_the_clip(seed: int) -> None:
    draw = np.random.default_rng(seed)
    for _ in range(20):
        per_bar = int(draw.integers(2, 8))
        duration_s = round(float(draw.uniform(0.5, 30)), 3)
        number = int(draw.integers(1, per_bar + 1))
        grid = beat_grid(
            float(draw.integers(40, 220)),
            per_bar,
            duration_s,
            start_s=round(float(draw.uniform(0, 0.3)), 3),
            number=number,
        )
        labels = [
            str(label)
            for label in draw.choice(
                ["A:min", "F:maj", "C:maj", "N"], int(draw.integers(1, len(grid.times_s) + 1))
            )
        ]
        if not grid.times_s:
            continue
        segments = chart_timeline(listed(tuple(labels)), grid).segments
        assert (segments[0].start_s, segments[-1].end_s) == (0, duration_s)
        assert all(
            before.end_s == after.start_s and before.label != after.label
            for before, after in pairwise(segments)
        )
        assert all(segment.start_s in grid.times_s for segment in segments[1:])
