"""Of a clip of 95 s no beat and no chord is lost on the way: tokens, frame rows, windows, sheet,
figures.
"""

from itertools import pairwise

import pytest

from pipelines.codecs import open_codec
from pipelines.labels.lead_sheet import lead_sheet
from pipelines.labels.transform import excerpt
from tests.training.data.shards import sample_of
from training.conditions import Condition
from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.conditions.clip_controls import ClipControls, Span
from training.conditions.limits import MAX_BEATS, MAX_CHORDS, TokenLimits, most_within
from training.conditions.rows import FrameGrid, batched_rows
from training.data.examples import window_controls
from training.data.recipe import DataRecipe
from training.metrics.timeline_figures import (
    AskedTimeline,
    HeardTimeline,
    TimelineMetric,
    timeline_scores,
)
from training.metrics.timing import timing_of
from training.prompt_controls.resolve import resolve_controls

LONG_S = 95.0
# 215 BPM, the fastest that is annotated, and a chord each second beat
LABELS = resolve_controls("", bpm=215, chords="C F | G Am", duration_s=LONG_S).labels
BEATS, CHORDS = len(LABELS.beats.times_s), len(LABELS.chords.segments)
LIMITS = DataRecipe(seconds=LONG_S).limits


def test_the_clip_has_more_of_both_than_a_short_one_is_told() -> None:
    assert (BEATS, CHORDS) == (341, 171)
    assert TokenLimits(464, 186) == LIMITS
    assert DataRecipe().limits == DataRecipe(seconds=10.24).limits == (MAX_BEATS, MAX_CHORDS)
    assert DataRecipe(seconds=LONG_S, beats=50, chords=20).limits == (50, 20)


def test_tokens_hold_all_of_them_with_their_times() -> None:
    beats = batched_beats([LABELS.beats], LIMITS.beats)
    assert beats.times_s_BL[beats.mask_BL].tolist() == pytest.approx(LABELS.beats.times_s)
    chords = batched_chords([LABELS.chords], LIMITS.chords)
    starts_s = [one.start_s for one in LABELS.chords.segments]
    assert chords.times_s_BL[chords.mask_BL].tolist() == pytest.approx(starts_s)


def test_rows_mark_each_in_its_frame() -> None:
    facts = open_codec("mel").facts
    grid = FrameGrid(facts.frames(round(LONG_S * facts.rate_hz)), facts.frames_per_s)
    for condition, times_s, mark in (
        (Condition.BEATS, LABELS.beats.times_s, 0),
        (Condition.CHORDS, [one.start_s for one in LABELS.chords.segments], 37),
    ):
        rows_BTR = batched_rows([ClipControls(LABELS)], grid, [condition])
        assert rows_BTR is not None
        frames = {int(time_s * grid.per_s + 1e-6) for time_s in times_s}
        assert set(rows_BTR[0, :, mark].nonzero().flatten().tolist()) == frames
        assert rows_BTR[0, -1, -1] > 0  # known up to the end


def test_windows_of_it_hold_together_what_it_holds() -> None:
    sample = sample_of(0, duration_s=LONG_S, end_s=LONG_S).replaced(
        beats=LABELS.beats, chords=LABELS.chords
    )
    assert window_controls(sample, Span(0.0, LONG_S)).labels.beats == LABELS.beats
    edges_s = (0.0, 30.0, 60.0, LONG_S)
    parts = [window_controls(sample, Span(*both)).labels for both in pairwise(edges_s)]
    assert sum(len(part.beats.times_s) for part in parts) == BEATS
    last = parts[-1].chords.segments[-1]
    assert (last.label, last.end_s) == (LABELS.chords.segments[-1].label, 35.0)


def test_the_lead_sheet_shows_all_bars_and_chords() -> None:
    lines = list(lead_sheet(LABELS))
    assert len(lines) == len(LABELS.beats.downbeats_s) == 86
    symbols = [word for line in lines for word in line.partition("|")[2].split()]
    assert len([word for word in symbols if word not in ("·", "|", "·|")]) == CHORDS


def test_evaluation_holds_to_the_last_second_too() -> None:
    asked = AskedTimeline(timing_of(LABELS), bpm=215)
    same = timeline_scores(asked, HeardTimeline(LABELS))
    assert {same[one] for one in (TimelineMetric.BEATS, TimelineMetric.MAJMIN)} == {1.0}
    first_s = excerpt(LABELS, 0, 47.5).replaced(duration_s=LONG_S)
    half = timeline_scores(asked, HeardTimeline(first_s))
    assert half[TimelineMetric.MAJMIN] == pytest.approx(0.5, abs=0.001)
    assert half[TimelineMetric.BEATS] == pytest.approx(2 / 3, abs=0.005)  # all right, half missing


def test_what_a_window_holds_is_counted_where_it_is_densest() -> None:
    assert most_within(LABELS.beats.times_s, 10) == 36
    assert most_within((), 10) == 0
