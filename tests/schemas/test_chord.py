"""Chords: Harte syntax and lead-sheet symbols say the same, and transposition keeps what a chord
is.
"""

import itertools

import pytest
from pydantic import ValidationError

from schemas.chord import INTERVALS, SUFFIX, Chord, ChordQuality
from schemas.errors import SchemaError
from schemas.pitch import Key, spell

ALL_CHORDS = [
    Chord(root=root, quality=quality)
    for root, quality in itertools.product(range(12), ChordQuality)
]
C, E, G, B_FLAT = 0, 4, 7, 10


@pytest.mark.parametrize(
    ("harte", "pitches"),
    [
        ("C:maj", {0, 4, 7}),
        ("A:min", {9, 0, 4}),
        ("G:7", {7, 11, 2, 5}),
        ("Eb:maj7", {3, 7, 10, 2}),
        ("F#:min7", {6, 9, 1, 4}),
        ("B:dim", {11, 2, 5}),
        ("C#:dim7", {1, 4, 7, 10}),
        ("B:hdim7", {11, 2, 5, 9}),
        ("C:aug", {0, 4, 8}),
        ("D:sus2", {2, 4, 9}),
        ("D:sus4", {2, 7, 9}),
        ("C:maj6", {0, 4, 7, 9}),
        ("A:min6", {9, 0, 4, 6}),
    ],
)
def test_a_chord_sounds_the_notes_that_musicians_play(harte: str, pitches: set[int]) -> None:
    assert Chord.parse(harte).pitches == pitches


def test_every_quality_has_intervals_and_one_suffix_of_its_own() -> None:
    assert set(INTERVALS) == set(SUFFIX) == set(ChordQuality)
    assert len(set(SUFFIX.values())) == len(ChordQuality)
    assert len(set(INTERVALS.values())) == len(ChordQuality)


@pytest.mark.parametrize("quality", ChordQuality)
def test_harte_and_symbol_of_every_root_read_back(quality: ChordQuality) -> None:
    for root in range(12):
        chord = Chord(root=root, quality=quality)
        assert Chord.parse(chord.harte) == chord
        assert Chord.parse_symbol(chord.symbol()) == chord
        for tonic, mode in itertools.product(range(12), ("major", "minor")):
            assert Chord.parse_symbol(chord.symbol(Key(tonic=tonic, mode=mode))) == chord


def test_every_inversion_reads_back_from_both_syntaxes() -> None:
    for chord in ALL_CHORDS:
        for step in range(1, 12):
            inverted = chord.replaced(bass=(chord.root + step) % 12)
            assert Chord.parse(inverted.harte) == inverted
            assert Chord.parse_symbol(inverted.symbol()) == inverted
            assert inverted.pitches == chord.pitches | {inverted.bass}


@pytest.mark.parametrize(
    ("harte", "symbol", "bass"),
    [
        ("C:maj/3", "C/E", E),
        ("C:maj/5", "C/G", G),
        ("C:7/b7", "C7/Bb", B_FLAT),
        ("A:min/b3", "Am/C", C),
        ("F#:hdim7", "F#m7b5", None),
    ],
)
def test_known_inversions(harte: str, symbol: str, bass: int | None) -> None:
    chord = Chord.parse(harte)
    assert (chord.symbol(), chord.bass) == (symbol, bass)
    assert Chord.parse_symbol(symbol).harte == harte


def test_root_in_the_bass_is_no_inversion() -> None:
    assert Chord.parse("C:maj/1") == Chord.parse_symbol("C/C") == Chord.parse("C:maj")
    assert Chord(root=0, quality=ChordQuality.MAJ, bass=0).harte == "C:maj"


def test_transposed_by_an_octave_is_the_same_chord_and_up_then_down_too() -> None:
    for chord in ALL_CHORDS:
        inverted = chord.replaced(bass=(chord.root + 7) % 12)
        assert chord.transposed(12) == chord == chord.transposed(-12)
        for step in range(-11, 12):
            assert inverted.transposed(step).transposed(-step) == inverted
            assert inverted.transposed(step).pitches == {
                (pitch + step) % 12 for pitch in inverted.pitches
            }


def test_inversion_moves_with_its_root() -> None:
    assert Chord.parse("C:maj/3").transposed(-1).symbol(Key.parse("E")) == "B/D#"
    assert Chord.parse("G:7/b7").transposed(3).harte == "Bb:7/b7"


def test_a_chord_is_spelled_in_its_key() -> None:
    assert Chord.parse("E:maj/3").symbol(Key.parse("Am")) == "E/G#"
    assert Chord.parse("Ab:maj").symbol(Key.parse("Fm")) == "Ab"
    assert Chord.parse("Ab:min").symbol(Key.parse("G#m")) == "G#m"
    assert Chord.parse("Gb:maj").symbol(Key.parse("Db")) == "Gb"


@pytest.mark.parametrize(
    "text", ["C:major", "C:maj/9", "C:maj/x", "H:maj", "", ":maj", "C#b:maj", "N"]
)
def test_harte_outside_the_vocabulary_is_refused_by_name(text: str) -> None:
    with pytest.raises(SchemaError) as refused:
        Chord.parse(text)
    assert repr(text) in str(refused.value) or repr(text.partition(":")[0]) in str(refused.value)


def test_an_unknown_quality_says_which_are_allowed() -> None:
    with pytest.raises(
        SchemaError,
        match=r"'C:13'.*maj, min, 7, maj7, min7, dim, dim7, hdim7, aug, sus2, sus4, maj6, min6",
    ):
        Chord.parse("C:13")


@pytest.mark.parametrize("text", ["", "Xm", "Cfoo", "C/", "C/Q", "m7"])
def test_a_symbol_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        Chord.parse_symbol(text)


@pytest.mark.parametrize(
    ("text", "harte"),
    [
        ("CM7", "C:maj7"),
        ("Bø", "B:hdim7"),
        ("B°7", "B:dim7"),
        ("C+", "C:aug"),
        ("E♭m", "Eb:min"),
        ("Bb", "Bb:maj"),
    ],
)
def test_other_signs_for_the_same_chord_are_read(text: str, harte: str) -> None:
    assert Chord.parse_symbol(text).harte == harte


@pytest.mark.parametrize("root", [-1, 12])
def test_a_root_outside_the_octave_is_refused(root: int) -> None:
    with pytest.raises(ValidationError, match="root"):
        Chord(root=root, quality=ChordQuality.MAJ)


def test_roots_without_a_key_are_spelled_as_in_c() -> None:
    assert [spell(root) for root in range(12)] == [
        "C",
        "Db",
        "D",
        "Eb",
        "E",
        "F",
        "F#",
        "G",
        "Ab",
        "A",
        "Bb",
        "B",
    ]
