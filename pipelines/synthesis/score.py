"""What a piece is before it sounds: its notes, its drum hits, its chords, and the truth that
follows from them.

Positions are in beats; beat 0 is the first downbeat, a pick-up lies before it.
"""

from enum import StrEnum
from itertools import pairwise
from typing import Final, Self

from pydantic import Field, model_validator

from schemas.chord import NO_CHORD, Chord
from schemas.errors import SchemaError
from schemas.labels import (
    TIME_DECIMALS,
    Beats,
    Chords,
    ChordSegment,
    Claim,
    KeyLabel,
    Labels,
    Meter,
    Origin,
    Tempo,
)
from schemas.pitch import Key
from schemas.record import Record, Seconds

TOOL: Final = "synthesis"
VERSION: Final = "1"
LICENCE: Final = "CC0-1.0"


class Instrument(StrEnum):
    """What can play the melody and the chords."""

    STRINGS = "strings"  # plucked: Karplus and Strong, CMJ 1983
    ORGAN = "organ"


class Role(StrEnum):
    """What a note is for."""

    LEAD = "lead"
    CHORDS = "chords"
    BASS = "bass"


class Drum(StrEnum):
    """The drum kit."""

    KICK = "kick"
    SNARE = "snare"
    HAT = "hat"


class ScoreNote(Record):
    """A pitched note; `pitch` is a MIDI number (60 is middle C), `gain` a factor of amplitude."""

    role: Role
    beat: float
    length_beats: float = Field(gt=0)
    pitch: int = Field(ge=21, le=108)
    gain: float = Field(gt=0, le=1)


class Hit(Record):
    """One stroke of one drum."""

    drum: Drum
    beat: float
    gain: float = Field(gt=0, le=1)


class ChordSpan(Record):
    """A chord from `beat` on, for `length_beats`."""

    beat: float
    length_beats: float = Field(gt=0)
    chord: Chord


class Score(Record):
    """A whole piece.

    Chord spans join from beat 0 to the end of the last bar; what is left of `duration_s` rings out.

    `pickup_beats` beats of drums sound before the first downbeat, which falls at `downbeat_s`.
    """

    name: str
    bpm: float = Field(gt=0)
    beats_per_bar: int = Field(ge=2)
    key: Key
    bars: int = Field(ge=1)
    pickup_beats: int = Field(ge=0)
    downbeat_s: Seconds
    duration_s: Seconds
    lead: Instrument
    backing: Instrument
    spans: tuple[ChordSpan, ...]
    notes: tuple[ScoreNote, ...]
    hits: tuple[Hit, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        ends = [0.0, *(span.beat + span.length_beats for span in self.spans)]
        if [span.beat for span in self.spans] != ends[:-1] or ends[
            -1
        ] != self.bars * self.beats_per_bar:
            raise SchemaError(
                f"{self.name}: chords must join from beat 0 to beat "
                f"{self.bars * self.beats_per_bar}, not {ends}"
            )
        if self.seconds(-self.pickup_beats) < 0 or self.seconds(ends[-1]) > self.duration_s:
            raise SchemaError(
                f"{self.name}: beats {-self.pickup_beats} "
                f"to {ends[-1]} do not fit in 0 to {self.duration_s} s"
            )
        return self

    def seconds(self, beat: float) -> float:
        """When a beat sounds, in seconds from the start of the audio."""
        return self.downbeat_s + beat * 60.0 / self.bpm


def truth(score: Score) -> Labels:
    """All labels of a piece, as written; times are rounded to whole milliseconds.

    >>> from pipelines.synthesis.compose import compose
    >>> labels = truth(compose(0))
    >>> labels.meter.beats_per_bar, labels.beats.numbers[:5], labels.chords.segments[0].start_s
    (4, (1, 2, 3, 4, 1), 0.0)
    """
    claim = Claim(
        confidence=1.0, tool=TOOL, version=VERSION, licence=LICENCE, origin=Origin.STATED
    ).model_dump()
    beats = range(-score.pickup_beats, score.bars * score.beats_per_bar)
    times_s = tuple(round(score.seconds(beat), TIME_DECIMALS) for beat in beats)
    numbers = tuple(beat % score.beats_per_bar + 1 for beat in beats)
    return Labels(
        duration_s=score.duration_s,
        beats=Beats(times_s=times_s, numbers=numbers, **claim),
        meter=Meter(beats_per_bar=score.beats_per_bar, **claim),
        tempo=Tempo(bpm=score.bpm, **claim),
        chords=Chords(segments=_segments(score), **claim),
        key=KeyLabel(tonic=score.key.tonic, mode=score.key.mode, **claim),
    )


def _segments(score: Score) -> tuple[ChordSegment, ...]:
    """Chords with equal neighbours joined, and no chord before the first downbeat and after the
    last bar.
    """
    marks: list[tuple[float, str]] = [(0.0, NO_CHORD)] if score.downbeat_s > 0 else []
    for span in score.spans:
        if not marks or marks[-1][1] != span.chord.harte:
            marks.append((round(score.seconds(span.beat), TIME_DECIMALS), span.chord.harte))
    last_s = round(score.seconds(score.bars * score.beats_per_bar), TIME_DECIMALS)
    marks += [(last_s, NO_CHORD)] if last_s < score.duration_s else []
    marks.append((score.duration_s, NO_CHORD))
    return tuple(
        ChordSegment(start_s=start_s, end_s=end_s, label=label)
        for (start_s, label), (end_s, _) in pairwise(marks)
    )
