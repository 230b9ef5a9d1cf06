"""What the band plays under the melody: chords, bass and drums."""

from enum import StrEnum
from typing import Final

from pipelines.synthesis.score import ChordSpan, Drum, Hit, Role, ScoreNote


class Backing(StrEnum):
    """How the chords are played."""

    HELD = "held"
    STRUMMED = "strummed"  # struck again on every beat
    ARPEGGIO = "arpeggio"  # all on the first beat, then one note after the other


_CHORD_LOW: Final = 54  # F#3: chords lie in the octave from here, above the bass
_BASS_LOW: Final = 36  # C2, 65 Hz: deep chroma has nothing lower
# Beats of a bar and gains. The kick is alone on beat 1 in all of them.
_KICKS: Final = {
    3: (((0.0, 1.0),), ((0.0, 1.0), (2.5, 0.5))),
    4: (((0.0, 1.0),), ((0.0, 1.0), (2.0, 0.7)), ((0.0, 1.0), (2.5, 0.6))),
}
_SNARES: Final = {
    3: (((1.0, 0.5), (2.0, 0.5)), ((1.0, 0.35), (2.0, 0.35))),
    4: (((1.0, 0.9), (3.0, 0.9)),),
}


def backing(span: ChordSpan, style: Backing) -> tuple[ScoreNote, ...]:
    """The chord of a span in close position; the seventh is softer, as careful players do."""
    pitches = sorted(_CHORD_LOW + (pitch - _CHORD_LOW) % 12 for pitch in span.chord.pitches)
    notes = [_chord_note(span, pitch, 0.0, span.length_beats, 1.0) for pitch in pitches]
    if style is Backing.STRUMMED:
        beats = range(int(span.length_beats))
        return tuple(
            _chord_note(span, pitch, float(beat), 1.0, 1.0 if beat == 0 else 0.6)
            for beat in beats
            for pitch in pitches
        )
    if style is Backing.ARPEGGIO:
        steps = range(1, int(span.length_beats * 2))
        notes += [
            _chord_note(span, pitches[step % len(pitches)], step / 2, 0.5, 0.6) for step in steps
        ]
    return tuple(notes)


def _chord_note(
    span: ChordSpan, pitch: int, offset: float, length: float, gain: float
) -> ScoreNote:
    seventh = (pitch - span.chord.root) % 12 >= 9
    return ScoreNote(
        role=Role.CHORDS,
        beat=span.beat + offset,
        length_beats=length,
        pitch=pitch,
        gain=gain * (0.55 if seventh else 0.9),
    )


def bass(span: ChordSpan, walking: bool) -> tuple[ScoreNote, ...]:
    """The chord's bass note, or in a walking bass the bass note and then the fifth or the root."""
    low = span.chord.root if span.chord.bass is None else span.chord.bass
    pitch = _BASS_LOW + (low - _BASS_LOW) % 12
    if not walking or span.length_beats < 3:
        return (
            ScoreNote(
                role=Role.BASS,
                beat=span.beat,
                length_beats=span.length_beats,
                pitch=pitch,
                gain=0.9,
            ),
        )
    fifth = (span.chord.root + 7) % 12
    other = fifth if fifth in span.chord.pitches and low == span.chord.root else span.chord.root
    second = _BASS_LOW + (other - _BASS_LOW) % 12
    return (
        ScoreNote(role=Role.BASS, beat=span.beat, length_beats=2, pitch=pitch, gain=0.9),
        ScoreNote(
            role=Role.BASS,
            beat=span.beat + 2,
            length_beats=span.length_beats - 2,
            pitch=second,
            gain=0.6,
        ),
    )


def drums(bar: int, beats_per_bar: int, pattern: int, eighths: bool) -> tuple[Hit, ...]:
    """One bar of drums: kick on 1; backbeat in 4/4; hats on every beat, or snare and hat on 2 and 3
    of a waltz.
    """
    start = float(bar * beats_per_bar)
    kicks = _KICKS[beats_per_bar][pattern % len(_KICKS[beats_per_bar])]
    snares = _SNARES[beats_per_bar][pattern % len(_SNARES[beats_per_bar])]
    hits = [Hit(drum=Drum.KICK, beat=start + beat, gain=gain) for beat, gain in kicks]
    hits += [Hit(drum=Drum.SNARE, beat=start + beat, gain=gain) for beat, gain in snares]
    hits += [
        Hit(drum=Drum.HAT, beat=start + beat, gain=0.8)
        for beat in range(beats_per_bar == 3, beats_per_bar)
    ]
    hits += [
        Hit(drum=Drum.HAT, beat=start + beat + 0.5, gain=0.35)
        for beat in range(beats_per_bar)
        if eighths
    ]
    return tuple(hits)


def pickup(beats: int) -> tuple[Hit, ...]:
    """Drums alone on the beats before the first downbeat."""
    return tuple(
        Hit(drum=drum, beat=-float(beat), gain=0.7)
        for beat in range(beats, 0, -1)
        for drum in (Drum.SNARE, Drum.HAT)
    )
