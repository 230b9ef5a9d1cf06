"""Beats, chords and keys go on from a recording."""

import pytest

from schemas.labels import Labels
from training.conditions import Condition
from training.conditions.clip_controls import Span
from training.prompt_controls.resolve import resolve_controls
from training.timed_controls.asked import asked_piece
from training.timed_controls.going_on import (
    HeardAround,
    bridge_s,
    grid_going_on,
    looped_piece,
    options_going_on,
    with_around,
)
from training.timed_controls.options import ControlOptions


def song(seconds: float = 8.0, bpm: float = 100) -> Labels:
    """In 3/4: bars of 1.8 s."""
    return resolve_controls(
        "", bpm=bpm, meter=3, key="D minor", chords="Dm Gm A", duration_s=seconds
    ).labels


def test_beats_go_on_in_their_bars() -> None:
    grid = grid_going_on(HeardAround(song()), 4.0)
    assert grid is not None
    # beats of the song lie at 7.2 (1), 7.8 (2); the next would be at 8.4 (3)
    assert grid.times_s[:4] == pytest.approx((0.4, 1.0, 1.6, 2.2))
    assert grid.numbers[:4] == (3, 1, 2, 3)
    assert (grid.bpm, grid.beats_per_bar, grid.duration_s) == (100, 3, 4.0)
    slower = grid_going_on(HeardAround(song()), 4.0, bpm=60, per_bar=4)
    assert slower is not None
    assert slower.times_s[0] == pytest.approx(0.8)
    assert slower.beats_per_bar == 4
    assert grid_going_on(HeardAround(), 4.0) is None


def test_beats_of_a_gap_meet_those_behind_it() -> None:
    after = song()  # begins with a downbeat
    grid = grid_going_on(HeardAround(song(), after), 2.0)
    assert grid is not None
    # 2.2 s from the last beat to the next bar: four beats of 0.55 s
    assert grid.times_s == pytest.approx((0.35, 0.9, 1.45))


@pytest.mark.parametrize(("wanted_s", "length_s"), [(0.1, 1.0), (2.0, 2.8), (3.4, 2.8), (4.0, 4.6)])
def test_a_way_back_makes_whole_bars_of_1_8_s(wanted_s: float, length_s: float) -> None:
    assert bridge_s(HeardAround(song(), song()), wanted_s) == pytest.approx(length_s)
    assert bridge_s(HeardAround(), wanted_s) == wanted_s


def test_what_nobody_says_is_the_recording_s() -> None:
    around = HeardAround(song())
    given, inherited = options_going_on("A flute", ControlOptions(), around)
    assert given.key == "D minor"
    assert inherited == {"key", "tempo", "meter"}
    given, inherited = options_going_on("A flute at 90 BPM", ControlOptions(key="C major"), around)
    assert given.key == "C major"
    assert inherited == {"meter"}


def test_a_piece_stands_between_what_is_heard_and_its_chords_are_its_own() -> None:
    around = HeardAround(song(), song(5.4))
    new = asked_piece(
        "", ControlOptions(key="D minor"), duration_s=4.0, going_on=grid_going_on(around, 4.0)
    )
    whole = with_around(new, around, chords_asked=False).controls
    labels = whole.labels
    assert labels.duration_s == pytest.approx(17.4)
    assert whole.known[Condition.CHORDS] == (Span(0.0, 8.0), Span(12.0, 17.4))
    gaps = [b - a for a, b in zip(labels.beats.times_s, labels.beats.times_s[1:])]
    assert min(gaps) > 0.5
    assert max(gaps) < 0.7
    assert labels.chords.segments[0].label == "D:min"
    asked = asked_piece("", ControlOptions(chords="C"), duration_s=4.0)
    known = with_around(asked, around, chords_asked=True).controls.known
    assert Condition.CHORDS not in known  # for all of the time


def test_a_loop_s_return_is_its_beginning() -> None:
    piece = asked_piece("", ControlOptions(bpm=120, meter="4", chords="Am F"), duration_s=6.0)
    whole = looped_piece(piece, 1.0).controls.labels
    assert whole.duration_s == 7.0
    assert whole.beats.times_s[-2:] == (6.0, 6.5)
    assert whole.beats.numbers[-2:] == (1, 2)
    assert whole.chords.segments[-1].label == "A:min"
