"""Beats, chords and keys that go on from a recording into what is played after it, and from that
into what comes behind it.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from schemas.labels import TIME_DECIMALS, Labels
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, Span
from training.prompt_controls.grid import Grid
from training.prompt_controls.requested import read_requested
from training.timed_controls.asked import AskedPiece
from training.timed_controls.joining import controls_within, joined_controls
from training.timed_controls.options import ControlOptions

_LAST_BEATS: Final = 9  # of which the tempo is taken
_USUAL_BAR: Final = 4


class HeardAround(NamedTuple):
    """Labels of what stands before something new, and of what comes behind it, each in its own
    time; none where nothing does.
    """

    before: Labels | None = None
    after: Labels | None = None

    @property
    def has_beats(self) -> bool:
        """Whether beats can go on."""
        return self.before is not None and len(self.before.beats.times_s) > 1


class _LastBeat(NamedTuple):
    """Where beats stand at the end of what is before: times from there, and how far apart they
    are.
    """

    time_s: float  # 0 or less
    number: int
    beat_s: float
    per_bar: int


def _last_beat(before: Labels) -> _LastBeat:
    times_s, numbers = before.beats.times_s, before.beats.numbers
    gaps_s = [later - earlier for earlier, later in pairwise(times_s[-_LAST_BEATS:])]
    per_bar = before.meter.beats_per_bar or max(*numbers, _USUAL_BAR)
    return _LastBeat(times_s[-1] - before.duration_s, numbers[-1], median(gaps_s), per_bar)


def grid_going_on(
    around: HeardAround,
    duration_s: float,
    *,
    bpm: float | None = None,
    per_bar: int | None = None,
) -> Grid | None:
    """The beats of something new of `duration_s`, in its own time: those before it go on, in the
    same bars, and where there are beats behind it they meet these, unless a tempo is asked for; so
    may beats per bar. None where there are no beats to go on from.
    """
    if around.before is None or not around.has_beats:
        return None
    last = _last_beat(around.before)
    beat_s = 60 / bpm if bpm else last.beat_s
    following = around.after.beats.times_s if around.after else ()
    if following and not bpm:
        whole_s = duration_s + following[0] - last.time_s
        beat_s = whole_s / max(1, round(whole_s / beat_s))
    bar = per_bar or last.per_bar
    times_s, numbers = list[float](), list[int]()
    count = 1
    while (time_s := round(last.time_s + count * beat_s, TIME_DECIMALS)) < duration_s:
        if time_s >= 0:
            times_s.append(time_s)
            numbers.append((last.number - 1 + count) % bar + 1)
        count += 1
    return Grid(tuple(times_s), tuple(numbers), round(60 / beat_s, 2), bar, duration_s)


def bridge_s(around: HeardAround, wanted_s: float) -> float:
    """How long something new between an end and a beginning is, so that beats and bars go round:
    the length nearest to the wanted one. That one, where nothing says beats.
    """
    if around.before is None or not around.has_beats or not around.after:
        return wanted_s
    following = around.after.beats
    if not following.times_s:
        return wanted_s
    last = _last_beat(around.before)
    apart = (following.numbers[0] - last.number) % last.per_bar or last.per_bar
    short_s = apart * last.beat_s + last.time_s - following.times_s[0]
    bar_s = last.per_bar * last.beat_s
    bars = max(round((wanted_s - short_s) / bar_s), 0)
    while short_s + bars * bar_s < last.beat_s:
        bars += 1
    return short_s + bars * bar_s


def options_going_on(
    caption: str, options: ControlOptions, around: HeardAround
) -> tuple[ControlOptions, frozenset[str]]:
    """Options with the recording's key where neither caption nor options say one, and the names of
    what is the recording's then: key, tempo, meter.
    """
    said, heard = read_requested(caption, key=options.key), around.before or around.after
    inherited = set[str]()
    has_key = said.key or said.mode or said.chords_source or options.key or options.chords
    if heard is not None and heard.key.key is not None and not has_key:
        options = options._replace(key=heard.key.key.name)
        inherited.add("key")
    if around.has_beats and not options.beats:
        inherited |= set() if options.bpm or said.bpm else {"tempo"}
        inherited |= set() if options.meter or said.meter else {"meter"}
    return options, frozenset(inherited)


def with_around(new: AskedPiece, around: HeardAround, chords_asked: bool) -> AskedPiece:
    """A piece with what stands before it and behind it, as one: what is heard there is known there.

    Chords of the new part are its model's own, unless they are asked for.
    """
    spans, at_s, own = list[Span](), 0.0, new.controls
    before, after = (
        [ClipControls(one)] if one is not None else [] for one in (around.before, around.after)
    )
    if not chords_asked and any(one.labels.chords.segments for one in (*before, *after)):
        own = own.without([Condition.CHORDS])
    parts = [*before, own, *after]
    for one in parts:
        end_s = round(at_s + one.labels.duration_s, TIME_DECIMALS)
        spans.append(Span(at_s, end_s))
        at_s = end_s
    common = own.labels.replaced(duration_s=at_s)
    return new._replace(controls=joined_controls(parts, spans, common))


def looped_piece(piece: AskedPiece, overlap_s: float) -> AskedPiece:
    """A piece with its own beginning behind it, for as long."""
    again = controls_within(piece.controls, 0.0, overlap_s)
    length_s = piece.controls.labels.duration_s
    end_s = round(length_s + overlap_s, TIME_DECIMALS)
    common = piece.controls.labels.replaced(duration_s=end_s)
    spans = (Span(0.0, length_s), Span(length_s, end_s))
    return piece._replace(controls=joined_controls([piece.controls, again], spans, common))


def as_of_recording(
    lines: Sequence[str], inherited: frozenset[str], chords: str | None
) -> tuple[str, ...]:
    """Lines on controls, those of the recording named so; and chords that nobody asks for.

    >>> as_of_recording(["tempo 90 BPM (flag)", "chords Em (corpus)"], frozenset({"tempo"}), None)
    ('tempo 90 BPM (the recording)', "chords of what is new: the model's own")
    """
    out = list[str]()
    for line in lines:
        if line.startswith("chords ") and chords is None:
            out.append("chords of what is new: the model's own")
            continue
        value, _, _ = line.rpartition(" (")
        is_its = line.partition(" ")[0] in inherited and value
        out.append(f"{value} (the recording)" if is_its else line)
    return tuple(out)
