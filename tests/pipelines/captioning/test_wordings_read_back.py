"""Every sentence that we can write states, when read, exactly what it was written to state."""

import numpy as np
import pytest

from pipelines.captioning.facts import stated
from pipelines.captioning.sentences import recognised
from pipelines.captioning.splitting import split_sentences
from pipelines.captioning.tempo_words import METRONOME, tempo_word
from pipelines.captioning.wordings import COUNTS, WORDINGS, Slots, fill
from schemas.caption import FactKind
from schemas.chord import Chord, ChordQuality
from schemas.pitch import Key, Mode, pretty

KEYS = [Key(tonic=tonic, mode=mode) for tonic in range(12) for mode in Mode]


def reads_as(bank: str, slots: Slots, *facts: tuple[FactKind, str]) -> None:
    for wording in WORDINGS[bank]:
        text = fill(wording, slots)
        assert split_sentences(text) == (text,)
        assert stated(text) == facts, text
        assert recognised(text) == (bank, slots), text


@pytest.mark.parametrize("bpm", [*range(20, 401, 7), 80, 81, 88, 100, 101, 110, 111, 118, 120, 180, 200])
def test_a_tempo_reads_back_as_number_word_or_both(bpm: int) -> None:
    word = tempo_word(bpm)
    number, named = (FactKind.BPM, str(bpm)), (FactKind.TEMPO_WORD, word)
    reads_as("bpm", Slots(bpm=str(bpm)), number)
    reads_as("word", Slots(word=word), named)
    reads_as("both", Slots(bpm=str(bpm), word=word), number, named)


def test_every_bpm_has_one_word_and_120_is_allegro() -> None:
    assert {tempo_word(bpm) for bpm in range(20, 401)} == set(METRONOME)
    assert [tempo_word(bpm) for bpm in (59, 60, 66, 76, 108, 120, 168, 200)] == list(METRONOME)


@pytest.mark.parametrize("beats", COUNTS)
def test_a_meter_reads_back(beats: int) -> None:
    reads_as("meter", Slots(beats=beats), (FactKind.METER, str(beats)))


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_each_of_the_24_keys_reads_back(key: Key) -> None:
    reads_as("key", Slots(key=pretty(key.name)), (FactKind.KEY, key.name))


@pytest.mark.parametrize("value", ["crescendo", "decrescendo"])
def test_dynamics_read_back(value: str) -> None:
    reads_as(value, Slots(), (FactKind.DYNAMICS, value))


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_chord_and_inversion_reads_back_in_the_spelling_of_every_key(key: Key) -> None:
    draw = np.random.default_rng(key.tonic)
    chords = [
        Chord(root=root, quality=quality, bass=bass if bass != root else None)
        for root in range(12)
        for quality in ChordQuality
        for bass in (root, int(draw.integers(12)))
    ]
    draw.shuffle(chords)
    for start in range(0, len(chords), 3):
        some = chords[start : start + 3]
        slots = Slots(chords=tuple(pretty(chord.symbol(key)) for chord in some))
        if len({chord.harte for chord in some}) == len(some):
            reads_as("chords", slots, (FactKind.CHORDS, " ".join(chord.harte for chord in some)))
        reads_as("chord", Slots(chords=slots.chords[:1]), (FactKind.CHORDS, some[0].harte))


@pytest.mark.parametrize("length", [2, 3, 5, 16])
def test_plain_triads_on_a_b_and_c_read_back_as_chords_not_as_articles_or_a_form(length: int) -> None:
    roots = [9, 11, 0, 9, 4] * 4
    chords = [Chord(root=root, quality=ChordQuality.MAJ) for root in roots[:length]]
    reads_as("chords", Slots(chords=tuple(c.symbol() for c in chords)), (FactKind.CHORDS, " ".join(c.harte for c in chords)))
    backwards = chords[::-1]
    reads_as("chords", Slots(chords=tuple(c.symbol() for c in backwards)), (FactKind.CHORDS, " ".join(c.harte for c in backwards)))


def test_articles_sound_right() -> None:
    assert fill("This is {a_key} piece.", Slots(key="A♭ major")) == "This is an A♭ major piece."
    assert fill("This is {a_key} piece.", Slots(key="B♭ minor")) == "This is a B♭ minor piece."
    assert fill("This is {a_key} piece.", Slots(key="F♯ minor")) == "This is an F♯ minor piece."
    assert fill("{a_word}", Slots(word="allegro")) == "an allegro"
    assert fill("{a_word}", Slots(word="largo")) == "a largo"
