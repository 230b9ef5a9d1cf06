"""Pieces of 20 to 30 s whose beats, meter, tempo, chords and key are known: we wrote them."""

from typing import Final

import numpy as np

from pipelines.synthesis.band import Backing, backing, bass, drums, pickup
from pipelines.synthesis.harmony import Book, book, chords_in
from pipelines.synthesis.melody import final_note, melody
from pipelines.synthesis.plan import PiecePlan, plan
from pipelines.synthesis.score import ChordSpan, Instrument, Score, ScoreNote
from schemas.chord import Chord
from schemas.identity import keyed_rng
from schemas.record import Record

_BUSY_BPM: Final = 110  # faster pieces have no eighths in the chords and hats


class _Phrase(Record):
    """Chords and melody of one letter of the form, from beat 0."""

    spans: tuple[ChordSpan, ...]
    lead: tuple[ScoreNote, ...]


def compose(index: int, seed: int = 0) -> Score:
    """Piece `index` of the endless collection `seed`.

    Each block of twelve (0 to 11, 12 to 23, …) holds both meters, both modes, triads and sevenths,
    all tonics, and tempos from 60 to 170 BPM.

    >>> score = compose(1)
    >>> score.beats_per_bar, 20 <= score.duration_s <= 30
    (3, True)
    """
    chosen = plan(index, seed)
    rng = keyed_rng(seed, chosen.name, "music")
    phrases = _phrases(chosen, rng)
    spans: list[ChordSpan] = []
    notes: list[ScoreNote] = []
    for letter in chosen.form:
        start = sum(span.length_beats for span in spans)
        spans += _moved_spans(phrases[letter].spans, start)
        notes += _moved_notes(phrases[letter].lead, start)
    closing = _closing(chosen, sum(span.length_beats for span in spans))
    notes += melody(closing[:-1], chosen.key, chosen.beats_per_bar, rng) if len(closing) > 1 else ()
    notes.append(final_note(closing, chosen.key))
    spans += closing
    return _arranged(chosen, tuple(spans), notes, rng)


def _arranged(
    chosen: PiecePlan,
    spans: tuple[ChordSpan, ...],
    lead: list[ScoreNote],
    rng: np.random.Generator,
) -> Score:
    """The score: melody, with chords, bass and drums under it."""
    calm = chosen.bpm >= _BUSY_BPM
    styles = [Backing.STRUMMED] if calm else [Backing.STRUMMED, Backing.ARPEGGIO]
    if chosen.backing is Instrument.ORGAN:
        styles = [Backing.HELD]
    style = styles[int(rng.integers(len(styles)))]
    walking = bool(rng.random() < 0.5)
    pattern = int(rng.integers(6))
    eighths = not calm and bool(rng.random() < 0.5)
    notes = list(lead)
    notes += [note for span in spans for note in backing(span, style)]
    notes += [note for span in spans for note in bass(span, walking)]
    hits = [*pickup(chosen.pickup_beats)]
    for bar in range(chosen.bars):
        hits += drums(bar, chosen.beats_per_bar, pattern, eighths and bar < chosen.bars - 1)
    return Score(
        name=chosen.name,
        bpm=chosen.bpm,
        beats_per_bar=chosen.beats_per_bar,
        key=chosen.key,
        bars=chosen.bars,
        pickup_beats=chosen.pickup_beats,
        downbeat_s=chosen.downbeat_s,
        duration_s=chosen.duration_s,
        lead=chosen.lead,
        backing=chosen.backing,
        spans=spans,
        notes=tuple(sorted(notes, key=lambda note: note.beat)),
        hits=tuple(sorted(hits, key=lambda hit: hit.beat)),
    )


def _phrases(chosen: PiecePlan, rng: np.random.Generator) -> dict[str, _Phrase]:
    """One phrase a letter; a repeated letter is repeated music."""
    pages = book(chosen.key.mode, chosen.harmony)
    phrases: dict[str, _Phrase] = {}
    for letter in sorted(set(chosen.form)):
        lines = pages.openings if letter == "A" else pages.contrasts
        chords = chords_in(chosen.key, lines[int(rng.integers(len(lines)))])
        spans = _spans(chosen, chords, pages, turns=bool(rng.random() < 0.5))
        phrases[letter] = _Phrase(
            spans=spans, lead=melody(spans, chosen.key, chosen.beats_per_bar, rng)
        )
    return phrases


def _spans(
    chosen: PiecePlan, chords: tuple[Chord, ...], pages: Book, *, turns: bool
) -> tuple[ChordSpan, ...]:
    """One chord a bar, or a half bar.

    With `turns`, a last bar of 4/4 on the dominant is shared with the chord that leads to it.
    """
    length = chosen.beats_per_bar / (2 if chosen.half_bars else 1)
    spans = [
        ChordSpan(beat=index * length, length_beats=length, chord=chord)
        for index, chord in enumerate(chords)
    ]
    (turn,) = chords_in(chosen.key, pages.turn)
    dominant = chords[-1].root == (chosen.key.tonic + 7) % 12
    if turns and dominant and chords[-2] != turn and length == 4:
        last = spans.pop()
        spans += [
            last.replaced(chord=turn, length_beats=2.0),
            last.replaced(beat=last.beat + 2, length_beats=2.0),
        ]
    return tuple(spans)


def _closing(chosen: PiecePlan, start: float) -> tuple[ChordSpan, ...]:
    """The last bars: the tonic, with its dominant before it if there are two."""
    chords = chords_in(chosen.key, book(chosen.key.mode, chosen.harmony).close)[
        -chosen.closing_bars :
    ]
    length = float(chosen.beats_per_bar)
    return tuple(
        ChordSpan(beat=start + index * length, length_beats=length, chord=chord)
        for index, chord in enumerate(chords)
    )


def _moved_spans(spans: tuple[ChordSpan, ...], beats: float) -> list[ChordSpan]:
    return [span.replaced(beat=span.beat + beats) for span in spans]


def _moved_notes(notes: tuple[ScoreNote, ...], beats: float) -> list[ScoreNote]:
    return [note.replaced(beat=note.beat + beats) for note in notes]
