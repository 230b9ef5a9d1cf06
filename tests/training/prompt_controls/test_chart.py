"""Chords as people write them."""

import pytest

from schemas.chord import Chord, ChordQuality
from schemas.pitch import Key, Mode
from training.errors import TrainingError
from training.prompt_controls.chart import in_symbols, read_chart
from training.prompt_controls.keys import best_key, fit


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Am F C G", ("A:min", "F:maj", "C:maj", "G:maj")),
        ("Am, F, C, G", ("A:min", "F:maj", "C:maj", "G:maj")),
        ("Am-F-C-G", ("A:min", "F:maj", "C:maj", "G:maj")),
        ("Am – F → C -> G", ("A:min", "F:maj", "C:maj", "G:maj")),
        ("F#m7 | Bm7 | E7", ("Gb:min7", "B:min7", "E:7")),
        ("| A♭maj7 | D♭6 |", ("Ab:maj7", "Db:maj6")),
        ("A:min F:maj7/3 G:7 Bb:hdim7", ("A:min", "F:maj7/3", "G:7", "Bb:hdim7")),
        ("A:7 C/E N.C. N", ("A:7", "C:maj/3", "N")),
        ("Bm7b5 E7 Am9 Dsus", ("B:hdim7", "E:7", "A:min7", "D:sus4")),
    ],
)
def test_symbols_and_harte_labels_are_read(text: str, labels: tuple[str, ...]) -> None:
    harte = tuple(label if label == "N" else Chord.parse(label).harte for label in labels)
    assert read_chart(text).labels == harte


def test_every_chord_reads_back_in_every_spelling() -> None:
    for key in [Key(tonic=tonic, mode=mode) for tonic in range(12) for mode in Mode]:
        chords = [
            Chord(root=root, quality=quality, bass=(root + 4) % 12)
            for root in range(12)
            for quality in ChordQuality
        ]
        assert read_chart(" ".join(chord.symbol(key) for chord in chords)).labels == tuple(
            chord.harte for chord in chords
        )
        assert read_chart(" ".join(chord.harte for chord in chords)).chords == chords


def test_counts_stand_for_bars_and_bar_lines_part_them() -> None:
    assert read_chart("Am:2 F*3").bars == (("A:min",),) * 2 + (("F:maj",),) * 3
    assert read_chart("A:min:2 G").bars == (("A:min",), ("A:min",), ("G:maj",))
    assert read_chart("A:7*2").bars == (("A:7",), ("A:7",))
    assert read_chart("Am F | C").bars == (("A:min", "F:maj"), ("C:maj",))
    assert [read_chart(text).is_measured for text in ("Am F", "Am:2 F", "Am | F")] == [
        False,
        True,
        True,
    ]


def test_symbols_are_spelled_in_the_key() -> None:
    assert in_symbols(["Ab:maj", "N", "Db:min/b3"], Key.parse("E major")) == "G# N.C. C#m/E"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Am H7 C",
            (
                "--chords: 'H7' (the 2nd) is not a chord: "
                "expected a lead-sheet symbol such as Am, F#m7, C/E, "
                "or Harte syntax such as A:min, F#:min7, C:maj/3, or N.C."
            ),
        ),
        ("C | Am G | x | F", "--chords: 'x' (the 4th) is not a chord"),
        ("C:maj9", "--chords: 'C:maj9' (the 1st) is not a chord"),
        ("C-7", "--chords: 'C-7' (the 1st) is not a chord"),
        ("am", "--chords: 'am' (the 1st) is not a chord"),
        (
            "",
            (
                "--chords '' names no chord: expected such as "
                "'Am F C G', or 'Dm7 G7 | Cmaj7' with bar lines"
            ),
        ),
        (" | ", "--chords ' | ' names no chord"),
        ("Am:17", "--chords: 'Am:17' (the 1st) lasts 17 bars: expected 1 to 16"),
        ("Am:0", "--chords: 'Am:0' (the 1st) lasts 0 bars: expected 1 to 16"),
        (
            "Am:2 F | C",
            "--chords 'Am:2 F': within a bar of several chords none can be given a number of bars",
        ),
    ],
)
def test_what_is_no_chord_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(TrainingError) as error:
        read_chart(text)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("chords", "key"),
    [
        ("Am F C G", "A minor"),
        ("C G Am F", "C major"),
        ("F G C", "C major"),
        ("Dm7 G7 Cmaj7", "C major"),
        ("Am E7", "A minor"),
        ("Bm7b5 E7 Am", "A minor"),
        ("C7 F7 G7", "C major"),
        ("F#m D A E", "F# minor"),
        ("D A Bm G", "D major"),
        ("Ebm", "Eb minor"),
        ("G", "G major"),
        ("G F G", "G major"),
        ("Cm Fm G", "C minor"),
    ],
)
def test_the_key_of_chords_is_the_one_a_musician_hears(chords: str, key: str) -> None:
    found = read_chart(chords).chords
    assert best_key(found).name == key
    for semitones in range(12):
        moved = [chord.transposed(semitones) for chord in found]
        assert best_key(moved) == Key.parse(key).transposed(semitones)


def test_a_mode_that_is_asked_for_is_kept() -> None:
    chords = read_chart("Am F C G").chords
    assert best_key(chords, Mode.MAJOR).name == "C major"
    assert best_key(read_chart("C G Am F").chords, Mode.MINOR).name == "A minor"


def test_fit_is_the_share_of_notes_in_the_scale() -> None:
    chords = read_chart("Am F C G").chords
    assert fit(chords, Key.parse("C major")) == 1
    assert fit(chords, Key.parse("A major")) == 6 / 12
