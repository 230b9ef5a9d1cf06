"""The chord part of a practice piece, and the pad under it: near voicings in a pattern."""

from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np

from schemas.chord import INTERVALS
from training.annotator_training.etude import Etude, EtudeChord
from training.annotator_training.notes import CHORDS, PAD, MidiNote, bars_within, next_bar

_FIFTH: Final = 7  # semitones above the root


class Pattern(StrEnum):
    """How a chord part is struck."""

    WHOLE = "whole"  # held until the bar or the chord ends
    BEATS = "beats"
    EIGHTHS = "eighths"
    OFF = "off"  # in eighths, the first of each chord left out
    ARPEGGIO = "arpeggio"
    SLOW_ARPEGGIO = "slow arpeggio"
    FAST_ARPEGGIO = "fast arpeggio"
    WALTZ = "waltz"  # in beats, without the first of the bar in three-four
    COMPING = "comping"  # at places that the piece draws once
    CHARLESTON = "charleston"  # on the first beat and after the second


_ARPEGGIOS: Final = (Pattern.ARPEGGIO, Pattern.SLOW_ARPEGGIO, Pattern.FAST_ARPEGGIO)
_STEPS: Final = {  # beats from stroke to stroke
    Pattern.BEATS: 1.0, Pattern.EIGHTHS: 0.5, Pattern.OFF: 0.5, Pattern.WALTZ: 1.0,
    Pattern.ARPEGGIO: 0.5, Pattern.SLOW_ARPEGGIO: 1.0, Pattern.FAST_ARPEGGIO: 0.25,
}  # fmt: skip


class Touch(NamedTuple):
    """How the chord part of a piece is played throughout."""

    pattern: Pattern
    low: int  # MIDI pitch above which chords are voiced
    velocity: int
    length: float  # of a stroke, as a share of the time to the next
    hits: tuple[float, ...]  # beats within the bar at which comping strikes
    order: tuple[int, ...]  # in which an arpeggio goes through its notes
    without_fifth: bool  # chords of four notes and more leave it out


class StruckChord(NamedTuple):
    """One chord as the hand holds it: when, and which pitches."""

    span: EtudeChord
    pitches: list[int]
    velocity: int

    def struck(self, beat: float, length: float, gain: float = 1.0) -> list[MidiNote]:
        """All notes at once, no longer than the chord lasts."""
        length = min(length, self.span.end - beat)
        return (
            [
                MidiNote(CHORDS, beat, length * 0.97, pitch, int(self.velocity * gain))
                for pitch in self.pitches
            ]
            if length > 0.05
            else []
        )


def chords_part(piece: Etude, rng: np.random.Generator, *, held: bool) -> list[MidiNote]:
    """The chords of a piece; held instruments mostly hold them."""
    touch = _touch(piece, rng, held)
    notes: list[MidiNote] = []
    voiced: list[int] = []
    for span in piece.spans:
        pitches = voiced = _voicing(span, touch.low, voiced)
        if touch.without_fifth and len(pitches) > 3:
            pitches = [pitch for pitch in pitches if (pitch - span.chord.root) % 12 != _FIFTH]
        if rng.random() < 0.3 and touch.pattern in _ARPEGGIOS:
            pitches = [*pitches, pitches[0] + 12]
        notes += _chord_notes(StruckChord(span, pitches, touch.velocity), touch, piece.meter)
    return notes


def pad(piece: Etude, rng: np.random.Generator) -> list[MidiNote]:
    """Every chord held softly for as long as it lasts."""
    low, soft = int(rng.integers(52, 66)), int(rng.integers(40, 65))
    notes: list[MidiNote] = []
    voiced: list[int] = []
    for span in piece.spans:
        voiced = _voicing(span, low, voiced)
        notes += [
            MidiNote(PAD, span.beat, span.length * 0.98, pitch, soft, loose=False)
            for pitch in voiced
        ]
    return notes


def _touch(piece: Etude, rng: np.random.Generator, held: bool) -> Touch:
    patterns = (
        [Pattern.WHOLE, Pattern.WHOLE, Pattern.BEATS]
        if held and rng.random() < 0.8
        else list(Pattern)
    )
    return Touch(
        pattern=Pattern(rng.choice(patterns)),
        low=int(rng.integers(48, 62)),
        velocity=int(rng.integers(55, 85)),
        length=float(rng.uniform(0.35, 1.0)),
        hits=_hits(piece.meter, rng),
        order=tuple(int(index) for index in rng.permutation(6)),
        without_fifth=rng.random() < 0.15,
    )


def _hits(meter: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Up to five beats within the bar, in sixteenths."""
    sixteenths = np.arange(0, meter, 0.25)
    hits = rng.choice(sixteenths, size=int(rng.integers(2, 6)))
    return tuple(sorted({float(hit) for hit in hits}))


def _voicing(span: EtudeChord, low: int, previous: list[int]) -> list[int]:
    """The chord's notes in close position from about `low`, in the turn whose middle is nearest to
    the previous chord's.
    """
    steps = {*INTERVALS[span.chord.quality]} | ({span.colour} if span.colour is not None else set())
    names = sorted((span.chord.root + step) % 12 for step in steps)
    turns = []
    for turn in range(len(names)):
        pitches = [low + (names[turn] - low) % 12]
        for name in names[turn + 1 :] + names[:turn]:
            pitches.append(pitches[-1] + (name - pitches[-1]) % 12)
        turns.append(pitches)
    if not previous:
        return turns[0]
    middle = np.mean(previous)
    return min(turns, key=lambda pitches: abs(float(np.mean(pitches) - middle)))


def _chord_notes(chord: StruckChord, touch: Touch, meter: int) -> list[MidiNote]:
    """One chord in the piece's pattern; struck once, at its start, where that leaves it out."""
    span = chord.span
    if touch.pattern is Pattern.WHOLE:
        return _sustained(chord, meter)
    if touch.pattern in _ARPEGGIOS:
        return _broken(chord, touch)
    if touch.pattern is Pattern.COMPING:
        return _comped(chord, touch, meter, touch.hits) or chord.struck(span.beat, touch.length)
    if touch.pattern is Pattern.CHARLESTON:
        return _comped(chord, touch, meter, (0.0, 1.5)) or chord.struck(span.beat, touch.length)
    return _repeated(chord, touch, meter) or chord.struck(span.beat, span.length)


def _sustained(chord: StruckChord, meter: int) -> list[MidiNote]:
    notes: list[MidiNote] = []
    beat = chord.span.beat
    while beat < chord.span.end:
        stop = min(chord.span.end, next_bar(beat, meter))
        notes += chord.struck(beat, stop - beat)
        beat = stop
    return notes


def _comped(
    chord: StruckChord, touch: Touch, meter: int, hits: tuple[float, ...]
) -> list[MidiNote]:
    notes: list[MidiNote] = []
    for bar in bars_within(chord.span.beat, chord.span.end, meter):
        for hit in hits:
            if chord.span.beat <= bar + hit < chord.span.end:
                notes += chord.struck(bar + hit, max(0.2, touch.length * 0.6))
    return notes


def _broken(chord: StruckChord, touch: Touch) -> list[MidiNote]:
    """An arpeggio whose notes ring into the next ones; the first of each chord is accented."""
    step = _STEPS[touch.pattern]
    notes: list[MidiNote] = []
    for number, beat in enumerate(np.arange(chord.span.beat, chord.span.end, step)):
        pitch = chord.pitches[touch.order[number % len(touch.order)] % len(chord.pitches)]
        length = min(step * (1 + 2 * touch.length), chord.span.end - float(beat))
        notes.append(
            MidiNote(
                CHORDS, float(beat), length, pitch, int(chord.velocity * (0.9 if number else 1.1))
            )
        )
    return notes


def _repeated(chord: StruckChord, touch: Touch, meter: int) -> list[MidiNote]:
    """In even strokes, the bar's first accented, or left to the bass in a waltz."""
    step = _STEPS[touch.pattern]
    first = chord.span.beat + (step if touch.pattern is Pattern.OFF else 0.0)
    notes: list[MidiNote] = []
    for beat in np.arange(first, chord.span.end, step):
        on_one = beat % meter == 0
        if not (on_one and touch.pattern is Pattern.WALTZ and meter == 3):
            notes += chord.struck(float(beat), step * touch.length, 1.1 if on_one else 0.9)
    return notes
