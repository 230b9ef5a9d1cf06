"""The part of a practice piece that is recorded: its labels move with the start."""

from typing import Final, NamedTuple

import numpy as np

from pipelines.annotators.harmony import key_class
from schemas.labels import ChordSegment
from training.annotator_training.etude import Etude
from training.annotator_training.notes import Playing

_SHORTEST_CHORD_S: Final = 1e-3  # what an excerpt's edge leaves of a chord


class PieceExcerpt(NamedTuple):
    """`length_s` of a piece from `start_s` on, which is negative where silence comes first; nothing
    sounds from `last_beat` on.
    """

    start_s: float
    length_s: float
    last_beat: int


class ExcerptTruth(NamedTuple):
    """What is true of an excerpt; times are seconds from its start."""

    meter: int
    bpm: float
    key: int | None  # tonic × 2, plus 1 for minor
    beats: tuple[tuple[float, int], ...]  # time, number in the bar
    chords: tuple[ChordSegment, ...]


def sample_excerpt(piece: Etude, length_s: float, rng: np.random.Generator) -> PieceExcerpt:
    """Any part of a piece; one time in ten the piece ends within it."""
    start_s = _start_s(piece, length_s, rng)
    last_beat = piece.beats
    if rng.random() < 0.1:
        last_beat = int(np.searchsorted(piece.beats_s, start_s + length_s * rng.uniform(0.5, 0.85)))
    return PieceExcerpt(start_s, length_s, last_beat)


def _start_s(piece: Etude, length_s: float, rng: np.random.Generator) -> float:
    """At the piece's beginning, in its first bar or first eight; one time in ten before it."""
    bar_s, where = piece.seconds(piece.meter), rng.random()
    start_s = 0.0
    if where >= 0.2:
        start_s = float(rng.uniform(0, bar_s if where < 0.5 else min(8 * bar_s, length_s)))
    return -float(rng.uniform(0.2, 1.5)) if rng.random() < 0.1 else start_s


def ended(playing: Playing, last_beat: int) -> Playing:
    """The same, with all notes released at `last_beat`."""
    sounding = (note for note in playing.notes if note.beat < last_beat)
    return playing._replace(
        notes=tuple(
            note._replace(length=min(note.length, last_beat - note.beat)) for note in sounding
        )
    )


def truth(piece: Etude, excerpt: PieceExcerpt) -> ExcerptTruth:
    """Beats and chords of an excerpt, and the piece's meter, tempo and key."""
    times_s = [float(time_s) for time_s in piece.beats_s[: excerpt.last_beat] - excerpt.start_s]
    beats = (
        (round(time_s, 4), number % piece.meter + 1)
        for number, time_s in enumerate(times_s)
        if 0 <= time_s < excerpt.length_s
    )
    chords = []
    for span in piece.spans:
        begin_s = max(0.0, piece.seconds(span.beat) - excerpt.start_s)
        end_s = min(
            excerpt.length_s, piece.seconds(min(excerpt.last_beat, span.end)) - excerpt.start_s
        )
        if end_s - begin_s > _SHORTEST_CHORD_S:
            chords.append(
                ChordSegment(
                    start_s=round(begin_s, 4), end_s=round(end_s, 4), label=span.chord.harte
                )
            )
    key = None if piece.key is None else key_class(piece.key)
    return ExcerptTruth(piece.meter, piece.bpm, key, tuple(beats), tuple(chords))
