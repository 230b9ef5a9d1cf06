"""A melody over chords: chord notes on strong beats, steps of the scale between them."""

from typing import Final

import numpy as np

from pipelines.synthesis.harmony import scale_over
from pipelines.synthesis.score import ChordSpan, Role, ScoreNote
from schemas.pitch import Key

# Rhythms of one bar, in beats. Those of 4/4 all have a note on beat 3, where a half bar may change
# the chord.
_RHYTHMS: Final = {
    3: ((1.0, 1.0, 1.0), (2.0, 1.0), (1.0, 0.5, 0.5, 1.0), (1.5, 0.5, 1.0)),
    4: (
        (1.0, 1.0, 1.0, 1.0),
        (2.0, 1.0, 1.0),
        (1.0, 1.0, 2.0),
        (1.5, 0.5, 1.0, 1.0),
        (1.0, 1.0, 1.0, 0.5, 0.5),
    ),
}
_LOW, _HIGH = 64, 81  # E4 to A5
_LEAP: Final = 5  # a fourth is the widest leap to a chord note


def melody(
    spans: tuple[ChordSpan, ...], key: Key, beats_per_bar: int, rng: np.random.Generator
) -> tuple[ScoreNote, ...]:
    """A phrase of melody over `spans`, whose last bar holds one note of its chord."""
    notes: list[ScoreNote] = []
    pitch = _nearest(72, {key.tonic})
    end = spans[-1].beat + spans[-1].length_beats
    beat = spans[0].beat
    while beat < end:
        last = beat + beats_per_bar >= end
        chord = _chord_at(spans, beat)
        if last and chord == spans[-1]:
            rhythm: tuple[float, ...] = (float(beats_per_bar),)
        else:
            rhythm = _RHYTHMS[beats_per_bar][int(rng.integers(len(_RHYTHMS[beats_per_bar])))]
        for length in rhythm:
            span = _chord_at(spans, beat)
            strong = (beat - spans[0].beat) % beats_per_bar in (0, 2 if beats_per_bar == 4 else 0)
            pitch = (
                _chord_note(span, pitch, rng)
                if strong or length >= 1.5
                else _step(span, key, pitch, rng)
            )
            notes.append(
                ScoreNote(
                    role=Role.LEAD,
                    beat=beat,
                    length_beats=length,
                    pitch=pitch,
                    gain=0.9 if strong else 0.7,
                )
            )
            beat += length
    return tuple(notes)


def final_note(spans: tuple[ChordSpan, ...], key: Key) -> ScoreNote:
    """The tonic, held over the last chord."""
    return ScoreNote(
        role=Role.LEAD,
        beat=spans[-1].beat,
        length_beats=spans[-1].length_beats,
        pitch=_nearest(72, {key.tonic}),
        gain=0.9,
    )


def _chord_at(spans: tuple[ChordSpan, ...], beat: float) -> ChordSpan:
    return next(span for span in reversed(spans) if span.beat <= beat)


def _chord_note(span: ChordSpan, previous: int, rng: np.random.Generator) -> int:
    """A note of the chord's triad within a fourth of the last note."""
    triad = {(span.chord.root + step) % 12 for step in (0, 3, 4, 6, 7)} & span.chord.pitches
    within = [
        pitch
        for pitch in range(_LOW, _HIGH + 1)
        if pitch % 12 in triad and abs(pitch - previous) <= _LEAP
    ]
    return within[int(rng.integers(len(within)))]


def _step(span: ChordSpan, key: Key, previous: int, rng: np.random.Generator) -> int:
    """The next note of the scale above or below."""
    scale = scale_over(key, span.chord)
    above = next(pitch for pitch in range(previous + 1, previous + 5) if pitch % 12 in scale)
    below = next(pitch for pitch in range(previous - 1, previous - 5, -1) if pitch % 12 in scale)
    choices = [pitch for pitch in (above, below) if _LOW <= pitch <= _HIGH]
    return choices[int(rng.integers(len(choices)))]


def _nearest(pitch: int, classes: set[int]) -> int:
    return min(
        (other for other in range(pitch - 6, pitch + 7) if other % 12 in classes),
        key=lambda other: abs(other - pitch),
    )
