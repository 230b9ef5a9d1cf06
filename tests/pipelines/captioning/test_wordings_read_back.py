"""Every sentence that we can write states, when read, exactly what it was written to state."""

import numpy as np
import pytest

from pipelines.captioning.facts import stated
from pipelines.captioning.recognising import GIVEN_BANKS, JOINTS, joined, own_parts, recognised
from pipelines.captioning.slots import COUNTS, ROUND_TIMES, Slots, fill
from pipelines.captioning.splitting import split_sentences
from pipelines.captioning.tempo_words import METRONOME, tempo_word
from pipelines.captioning.wordings import WORDINGS
from schemas.chord import Chord, ChordQuality
from schemas.fact import Fact, FactKind, write_number
from schemas.pitch import Key, Mode, pretty
from tests.support.fact_forms import fact_of

KEYS = [Key(tonic=tonic, mode=mode) for tonic in range(12) for mode in Mode]


def reads_as(bank: str, slots: Slots, *facts: tuple[FactKind, str]) -> None:
    expected = tuple(fact_of(kind, words) for kind, words in facts)
    for wording in WORDINGS[bank]:
        text = fill(wording, slots)
        assert split_sentences(text) == (text,)
        assert stated(text) == expected, text
        assert recognised(text) == (bank, slots), text


@pytest.mark.parametrize(
    "bpm", [*range(20, 401, 7), 80, 81, 88, 100, 101, 110, 111, 118, 120, 180, 200]
)
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
    rng = np.random.default_rng(key.tonic)
    chords = [
        Chord(root=root, quality=quality, bass=bass if bass != root else None)
        for root in range(12)
        for quality in ChordQuality
        for bass in (root, int(rng.integers(12)))
    ]
    rng.shuffle(chords)
    for start in range(0, len(chords), 3):
        some = chords[start : start + 3]
        slots = Slots(chords=tuple(pretty(chord.symbol(key)) for chord in some))
        if len({chord.harte for chord in some}) == len(some):
            reads_as("chords", slots, (FactKind.CHORDS, " ".join(chord.harte for chord in some)))
        reads_as("chord", Slots(chords=slots.chords[:1]), (FactKind.CHORDS, some[0].harte))


@pytest.mark.parametrize("length", [2, 3, 5, 16])
def test_plain_triads_on_a_b_and_c_read_back_as_chords_not_as_articles_or_a_form(
    length: int,
) -> None:
    roots = [9, 11, 0, 9, 4] * 4
    chords = [Chord(root=root, quality=ChordQuality.MAJ) for root in roots[:length]]
    reads_as(
        "chords",
        Slots(chords=tuple(c.symbol() for c in chords)),
        (FactKind.CHORDS, " ".join(c.harte for c in chords)),
    )
    backwards = chords[::-1]
    reads_as(
        "chords",
        Slots(chords=tuple(c.symbol() for c in backwards)),
        (FactKind.CHORDS, " ".join(c.harte for c in backwards)),
    )


@pytest.mark.parametrize("rounds", ROUND_TIMES)
@pytest.mark.parametrize("key", KEYS[::5], ids=lambda key: key.name)
def test_rounds_read_back_as_the_whole_sequence(key: Key, rounds: int) -> None:
    rng = np.random.default_rng(key.tonic + 24 * rounds)
    for length in (2, 3, 4, 8):
        every = [
            Chord(root=root, quality=quality) for root in range(12) for quality in ChordQuality
        ]
        some = [every[index] for index in rng.permutation(len(every))[:length]]
        slots = Slots(chords=tuple(pretty(chord.symbol(key)) for chord in some), rounds=rounds)
        reads_as(
            "rounds", slots, (FactKind.CHORDS, " ".join([chord.harte for chord in some] * rounds))
        )
    for first, last in (("A", "B"), ("E", "A")):
        reads_as(
            "rounds",
            Slots(chords=(first, last), rounds=rounds),
            (FactKind.CHORDS, " ".join([f"{first}:maj", f"{last}:maj"] * rounds)),
        )


@pytest.mark.parametrize("key", KEYS[::5], ids=lambda key: key.name)
def test_chords_with_their_starts_read_back(key: Key) -> None:
    rng = np.random.default_rng(key.tonic)
    for length in (2, 3, 5, 8):
        every = [
            Chord(root=root, quality=quality) for root in range(12) for quality in ChordQuality
        ]
        some = [every[index] for index in rng.permutation(len(every))[:length]]
        starts = tuple(
            write_number(tenths / 10)
            for tenths in sorted(
                rng.choice(np.arange(0, 320, 3), size=length, replace=False).tolist()
            )
        )
        value = " ".join(
            f"{chord.harte}@{start}" for chord, start in zip(some, starts, strict=True)
        )
        reads_as(
            "timed",
            Slots(chords=tuple(pretty(chord.symbol(key)) for chord in some), starts=starts),
            (FactKind.TIMED_CHORDS, value),
        )
    reads_as(
        "timed",
        Slots(chords=("A", "E", "A"), starts=("0", "1.2", "10")),
        (FactKind.TIMED_CHORDS, "A:maj@0 E:maj@1.2 A:maj@10"),
    )


def test_every_bank_holds_twelve_different_wordings_or_more() -> None:
    assert all(len(set(wordings)) == len(wordings) >= 12 for wordings in WORDINGS.values())


EXAMPLES = (
    ("bpm", Slots(bpm="92")),
    ("word", Slots(word="andante")),
    ("both", Slots(bpm="118", word="moderato")),
    ("meter", Slots(beats=3)),
    ("meter", Slots(beats=6)),
    ("key", Slots(key="A minor")),
    ("key", Slots(key="B♭ major")),
    ("chords", Slots(chords=("Am", "F", "C", "A"))),
    ("chord", Slots(chords=("E",))),
    ("rounds", Slots(chords=("Am", "G"), rounds=3)),
    ("timed", Slots(chords=("Am", "F", "A"), starts=("0", "2.5", "4"))),
    ("crescendo", Slots()),
    ("decrescendo", Slots()),
)


@pytest.mark.parametrize("joint", JOINTS)
def test_two_sentences_joined_state_what_each_of_them_states(joint: str) -> None:
    sentences = [
        (bank, fill(wording, slots)) for bank, slots in EXAMPLES for wording in WORDINGS[bank]
    ]
    for bank, one in sentences[::2]:
        for other_bank, other in sentences[:: 7 if joint == "; " else 11]:
            text = joined(one, other, joint)
            if not text or attribute_of(bank) == attribute_of(other_bank):
                continue
            assert split_sentences(text) == (text,)
            assert in_order(stated(text)) == in_order(stated(one) + stated(other)), text
            assert [(part.bank, part.text) for part in own_parts(text)] == [
                (bank, one),
                (other_bank, other),
            ], text


def in_order(facts: tuple[Fact, ...]) -> list[tuple[FactKind, str]]:
    return sorted((one.kind, one.text) for one in facts)


def attribute_of(bank: str) -> str:
    groups = {
        "bpm": "tempo",
        "word": "tempo",
        "both": "tempo",
        "chord": "chords",
        "rounds": "chords",
        "timed": "chords",
    }
    return groups.get(bank, bank.removeprefix("de"))


def test_instruments_and_moods_are_recognised_by_the_facts_that_come_with_them() -> None:
    for kind, bank in GIVEN_BANKS.items():
        for wording in WORDINGS[bank]:
            for items in (("piano",), ("warm pads", "drums"), ("calm", "r&b", "80s")):
                text = fill(wording, Slots(items=items))
                assert stated(text) == ()
                [part] = own_parts(text, tuple(fact_of(kind, item) for item in items))
                assert (part.bank, part.slots.items) == (bank, items)
                assert not own_parts(text)


def test_articles_sound_right() -> None:
    assert fill("This is {a_key} piece.", Slots(key="A♭ major")) == "This is an A♭ major piece."
    assert fill("This is {a_key} piece.", Slots(key="B♭ minor")) == "This is a B♭ minor piece."
    assert fill("This is {a_key} piece.", Slots(key="F♯ minor")) == "This is an F♯ minor piece."
    assert fill("{a_word}", Slots(word="allegro")) == "an allegro"
    assert fill("{a_word}", Slots(word="largo")) == "a largo"
