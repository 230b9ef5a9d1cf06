"""Practice pieces are exact: what they say of themselves is what their notes do, over 300 pieces
and in one written out by hand.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from schemas.chord import INTERVALS, Chord, ChordQuality
from schemas.pitch import Key
from training.annotator_training.bass_and_melody import bass_part
from training.annotator_training.chords_part import pad
from training.annotator_training.etude import Etude, EtudeChord, etude
from training.annotator_training.excerpt import PieceExcerpt, ended, sample_excerpt, truth
from training.annotator_training.notes import BASS, CHORDS, DRUMS, PAD, MidiNote, Playing
from training.annotator_training.orchestra import play

LENGTH_S = 31.0


class Played(NamedTuple):
    piece: Etude
    playing: Playing

    def part(self, channel: int) -> list[MidiNote]:
        return [note for note in self.playing.notes if note.channel == channel]


def drawn(seed: int) -> Played:
    rng = np.random.default_rng(seed)
    piece = etude(rng, LENGTH_S)
    return Played(piece, play(piece, rng))


@cache
def all_played() -> tuple[Played, ...]:
    return tuple(drawn(seed) for seed in range(300))


def written(*harte: str, swing: float = 0.5) -> Etude:
    """A bar of four-four in C major for each chord, at 120 BPM: two seconds a bar."""
    spans = tuple(EtudeChord(4.0 * bar, 4.0, Chord.parse(name)) for bar, name in enumerate(harte))
    return Etude(Key.parse("C major"), 4, 120.0, swing, np.arange(4 * len(harte) + 1) * 0.5, spans)


def names(notes: Sequence[MidiNote]) -> set[int]:
    return {note.pitch % 12 for note in notes}


def allowed(span: EtudeChord) -> set[int]:
    """Pitch classes of a chord and its colour, without the bass of an inversion."""
    steps = [*INTERVALS[span.chord.quality], *([] if span.colour is None else [span.colour])]
    return {(span.chord.root + step) % 12 for step in steps}


def test_pieces_last_as_long_as_asked_in_whole_bars_and_keep_near_their_tempo() -> None:
    steady = 0
    for piece, _ in all_played():
        ratios = 60.0 / np.diff(piece.beats_s) / piece.bpm
        assert piece.beats_s[0] == 0
        assert piece.beats_s[-1] >= LENGTH_S
        assert piece.beats % piece.meter == 0
        assert ratios.min() > 0.83  # a drift of 6 % and a rubato of 12 % at most
        assert ratios.max() < 1.2
        steady += np.allclose(ratios, 1.0)
    assert 0.42 < steady / 300 < 0.63  # 0.7 do not drift, and 0.75 of them have no rubato: 0.525


def test_chords_follow_one_another_without_gaps_from_the_first_beat_to_the_last() -> None:
    for piece, _ in all_played():
        if piece.spans:
            assert (piece.spans[0].beat, piece.spans[-1].end) == (0, piece.beats)
        for before, after in pairwise(piece.spans):
            assert before.end == after.beat
            assert before.length > 0
            assert before.chord != after.chord


def test_the_chord_part_and_the_pad_play_notes_of_the_chord_alone() -> None:
    for played in all_played():
        for note in [*played.part(CHORDS), *played.part(PAD)]:
            span = played.piece.span_at(note.beat)
            assert note.pitch % 12 in allowed(span), (played.piece.key, span, note)


def test_the_pad_of_c_f_g7_c_holds_each_chord_whole_and_moves_little() -> None:
    notes = pad(written("C", "F", "G:7", "C"), np.random.default_rng(0))
    chords = [[note for note in notes if note.beat == beat] for beat in (0, 4, 8, 12)]
    assert [names(chord) for chord in chords] == [{0, 4, 7}, {5, 9, 0}, {7, 11, 2, 5}, {0, 4, 7}]
    middles = [np.mean([note.pitch for note in chord]) for chord in chords]
    assert max(abs(later - earlier) for earlier, later in pairwise(middles)) <= 3.5


def test_the_bass_of_an_inversion_is_what_the_bass_part_begins_with() -> None:
    for seed in range(40):
        notes = bass_part(written("C:maj/3", "G", "F:min7/b7"), np.random.default_rng(seed))
        firsts = [next(note for note in notes if note.beat >= beat) for beat in (0, 4, 8)]
        assert [note.pitch % 12 for note in firsts] == [4, 7, 3]
        assert all(28 <= note.pitch <= 51 for note in firsts if note.beat % 4 == 0)


def test_the_bass_lies_below_the_chords_where_a_chord_begins() -> None:
    below = []
    for played in all_played():
        basses, chords = (
            {note.beat: note.pitch for note in reversed(played.part(channel))}
            for channel in (BASS, CHORDS)
        )
        below += [
            basses[span.beat] < chords[span.beat]
            for span in played.piece.spans
            if span.beat in basses and span.beat in chords
        ]
    assert len(below) > 1000
    assert np.mean(below) > 0.99


def test_dominant_sevenths_fall_a_fifth_far_more_often_than_by_chance() -> None:
    falls, chance = [], []
    for piece, _ in all_played():
        roots = [span.chord.root for span in piece.spans]
        for span, after in pairwise(piece.spans):
            if span.chord.quality is ChordQuality.DOM7:
                falls.append((after.chord.root - span.chord.root) % 12 == 5)
                chance.append(np.mean([(root - span.chord.root) % 12 == 5 for root in roots]))
    assert len(falls) > 300
    assert np.mean(falls) > 2 * np.mean(chance)


def test_a_piece_without_chords_is_drums_alone_and_has_no_key() -> None:
    alone = [played for played in all_played() if not played.piece.spans]
    assert 3 <= len(alone) <= 25  # 3 in 100
    for piece, playing in alone:
        assert piece.key is None
        assert not playing.programs
        assert {note.channel for note in playing.notes} == {DRUMS}
        known = truth(piece, PieceExcerpt(0.0, 15.0, piece.beats))
        assert known.key is None
        assert not known.chords
        assert known.beats[0] == (0.0, 1)


def test_the_drums_play_every_bar_alike_but_for_crashes_and_fills() -> None:
    heard = 0
    for played in all_played():
        meter = played.piece.meter
        second, third = (
            {
                (round(note.beat - bar * meter, 6), note.pitch, note.velocity)
                for note in played.part(DRUMS)
                if note.beat // meter == bar
            }
            for bar in (1, 2)
        )
        assert second == third
        heard += bool(second)
    assert heard > 150  # 6 in 10, and all that have no chords


def test_swing_delays_second_eighths_and_nothing_else() -> None:
    swung = [played for played in all_played() if played.piece.swing != 0.5]
    assert 30 < len(swung) < 90  # 2 in 10
    for piece, playing in swung:
        places = {round(note.beat % 1, 6) for note in playing.notes}
        assert places <= {0.0, 0.25, 0.75, round(piece.swing, 6)}


def test_labels_move_with_the_start() -> None:
    piece = written("C", "G:7/3", "A:min")
    late, early = (
        truth(piece, PieceExcerpt(0.75, 3.0, piece.beats)),
        truth(piece, PieceExcerpt(-1.0, 4.0, piece.beats)),
    )
    assert late.beats == ((0.25, 3), (0.75, 4), (1.25, 1), (1.75, 2), (2.25, 3), (2.75, 4))
    assert [(chord.start_s, chord.end_s, chord.label) for chord in late.chords] == [
        (0, 1.25, "C:maj"),
        (1.25, 3, "G:7/3"),
    ]
    assert early.beats == ((1.0, 1), (1.5, 2), (2.0, 3), (2.5, 4), (3.0, 1), (3.5, 2))
    assert [(chord.start_s, chord.end_s) for chord in early.chords] == [(1, 3), (3, 4)]
    assert (late.meter, late.bpm, late.key) == (4, 120.0, 0)


def test_where_a_piece_ends_within_an_excerpt_neither_notes_nor_labels_go_on() -> None:
    endings = 0
    for number, (piece, playing) in enumerate(all_played()):
        excerpt = sample_excerpt(piece, 15.0, np.random.default_rng([7, number]))
        known, notes = truth(piece, excerpt), ended(playing, excerpt.last_beat).notes
        over_s = piece.seconds(excerpt.last_beat) - excerpt.start_s
        assert all(note.beat < excerpt.last_beat for note in notes)
        assert max(note.beat + note.length for note in notes) <= excerpt.last_beat
        assert all(time_s < over_s for time_s, _ in known.beats)
        assert all(chord.end_s <= over_s + 1e-4 for chord in known.chords)
        endings += over_s < 15.0
    assert 15 <= endings <= 50  # 1 in 10


def test_the_same_draws_give_the_same_piece_and_others_another() -> None:
    for seed in range(20):
        first, again, other = drawn(seed), drawn(seed), drawn(seed + 1000)
        assert first.playing == again.playing
        assert np.array_equal(first.piece.beats_s, again.piece.beats_s)
        assert first.playing != other.playing


def test_a_note_is_struck_when_its_beat_falls_after_the_start() -> None:
    pytest.importorskip("mido")
    pytest.importorskip("fluidsynth", exc_type=ImportError)  # or its system library
    from training.annotator_training.sounds import midi

    note = MidiNote(PAD, 2.0, 1.0, 60, 64, loose=False)  # from 1.0 to 1.5 s of the piece
    messages = list(
        midi(written("C"), Playing((note,), {PAD: 48}), np.random.default_rng(0), 0.25, 0.0)
    )
    now_s, at_s = 0.0, {}
    for message in messages:
        now_s += message.time
        at_s[message.type] = now_s
    assert at_s["note_on"] == pytest.approx(0.75)
    assert at_s["note_off"] == pytest.approx(1.25)
