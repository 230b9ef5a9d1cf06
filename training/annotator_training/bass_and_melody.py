"""The bass and the melody of a practice piece."""

from enum import StrEnum
from itertools import pairwise
from typing import Final

import numpy as np

from schemas.chord import Chord
from schemas.pitch import Key, Mode
from training.annotator_training.etude import Etude, EtudeChord
from training.annotator_training.notes import BASS, MELODY, MidiNote, bars_within, next_bar

_SCALES: Final = {Mode.MAJOR: (0, 2, 4, 5, 7, 9, 11), Mode.MINOR: (0, 2, 3, 5, 7, 8, 10)}
_MELODY_LOW: Final = 58
_MELODY_HIGH: Final = 90
_NOTE_LENGTHS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)  # of a melody, in beats
_LENGTH_SHARES: Final = (0.08, 0.32, 0.35, 0.08, 0.12, 0.05)


class BassPattern(StrEnum):
    """How a bass moves under a chord."""

    HELD = "held"
    BARS = "bars"  # held, and struck again at each bar line
    ROOTS = "roots"  # on every beat
    FIFTHS = "fifths"  # on every beat, root and fifth in turn
    EIGHTHS = "eighths"
    WALKING = "walking"  # chord notes on every beat, the last a semitone from the next root
    OCTAVES = "octaves"  # in eighths, up and down
    RIFF = "riff"  # at places that the piece draws once
    OFF = "off"  # after every beat


def bass_part(piece: Etude, rng: np.random.Generator) -> list[MidiNote]:
    """The lowest note of each chord, which is that of its inversion, in one pattern throughout."""
    pattern = BassPattern(rng.choice(list(BassPattern)))
    low, loud = int(rng.integers(28, 41)), int(rng.integers(75, 105))
    hits = sorted(
        {float(hit) for hit in rng.choice(np.arange(0, piece.meter, 0.5), size=3)} | {0.0}
    )
    notes: list[MidiNote] = []
    for span, following in pairwise([*piece.spans, piece.spans[0]]):
        if pattern is BassPattern.RIFF:
            notes += _riff(span, hits, piece.meter, low, loud)
        elif pattern is BassPattern.WALKING:
            notes += _walk(span, following.chord, rng, low, loud)
        else:
            notes += _steady(span, pattern, piece.meter, low, loud)
    return notes


def _lowest(chord: Chord, low: int) -> int:
    """The pitch of a chord's bass note within the octave above `low`."""
    return low + ((chord.root if chord.bass is None else chord.bass) - low) % 12


def _riff(span: EtudeChord, hits: list[float], meter: int, low: int, loud: int) -> list[MidiNote]:
    beats = {
        bar + hit
        for bar in bars_within(span.beat, span.end, meter)
        for hit in hits
        if span.beat <= bar + hit < span.end
    }
    return [
        MidiNote(BASS, beat, min(0.8, span.end - beat), _lowest(span.chord, low), loud)
        for beat in sorted(beats | {span.beat})
    ]


def _walk(
    span: EtudeChord, following: Chord, rng: np.random.Generator, low: int, loud: int
) -> list[MidiNote]:
    bass = _lowest(span.chord, low)
    tones = [bass + (tone - bass) % 12 for tone in sorted(span.chord.pitches)]
    notes: list[MidiNote] = []
    for beat in map(float, np.arange(span.beat, span.end)):
        pitch = bass
        if beat > span.beat and beat + 1 < span.end:
            pitch = int(rng.choice(tones))
        elif beat > span.beat:
            pitch = low + (following.root - low) % 12 + int(rng.choice((-1, 1)))
        notes.append(MidiNote(BASS, beat, min(1.0, span.end - beat) * 0.95, pitch, loud))
    return notes


def _steady(
    span: EtudeChord, pattern: BassPattern, meter: int, low: int, loud: int
) -> list[MidiNote]:
    """The patterns that nothing is drawn for."""
    bass = _lowest(span.chord, low)
    has_fifth = span.chord.bass is None and (span.chord.root + 7) % 12 in span.chord.pitches
    beat = span.beat + (0.5 if pattern is BassPattern.OFF else 0.0)
    notes: list[MidiNote] = []
    while beat < span.end:
        length, pitch = 1.0, bass
        match pattern:
            case BassPattern.HELD:
                length = span.end - beat
            case BassPattern.BARS:
                length = next_bar(beat, meter) - beat
            case BassPattern.EIGHTHS:
                length = 0.5
            case BassPattern.OCTAVES:
                length, pitch = 0.5, bass + (12 if beat % 1 else 0)
            case BassPattern.FIFTHS if has_fifth and (beat - span.beat) % 2:
                pitch = bass + 7
        length = min(length, span.end - beat)
        notes.append(MidiNote(BASS, beat, length * 0.95, pitch, loud))
        beat += length
    return notes


def melody(piece: Etude, key: Key, rng: np.random.Generator) -> list[MidiNote]:
    """A line of scale and chord notes in a rhythm of its own, with rests."""
    scale = {(key.tonic + step) % 12 for step in _SCALES[key.mode]}
    rests, chordal, leap = (
        float(rng.uniform(0.05, 0.4)),
        float(rng.uniform(0.3, 0.9)),
        int(rng.integers(4, 10)),
    )
    rhythm = rng.choice(_NOTE_LENGTHS, size=int(rng.integers(2, 7)), p=_LENGTH_SHARES)
    pitch, beat, number = int(rng.integers(64, 80)), 0.0, 0
    notes: list[MidiNote] = []
    while beat < piece.beats:
        length = float(rhythm[number % len(rhythm)])
        if beat % 0.5:  # a sixteenth leads back to the eighths
            length = 0.25
        if rng.random() > rests:
            chord = piece.span_at(beat).chord.pitches
            on_chord = rng.random() < (chordal if beat % 1 else max(chordal, 0.7))
            pitch = _next_pitch(rng, chord if on_chord else scale | chord, pitch, leap)
            notes.append(MidiNote(MELODY, beat, length * 0.92, pitch, int(rng.integers(70, 105))))
        beat, number = beat + length, number + 1
    return notes


def _next_pitch(
    rng: np.random.Generator, names: frozenset[int] | set[int], pitch: int, leap: int
) -> int:
    """One of the pitch classes `names` within a leap, or C where the melody's range holds none."""
    lowest, highest = max(_MELODY_LOW, pitch - leap), min(_MELODY_HIGH, pitch + leap)
    within_leap = [other for other in range(lowest, highest + 1) if other % 12 in names]
    return int(rng.choice(within_leap)) if within_leap else 72
