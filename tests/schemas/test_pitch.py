"""Keys and notes are spelled as musicians spell them."""

import itertools

import pytest

from schemas.errors import SchemaError
from schemas.pitch import Key, Mode, parse_note, pretty, spell

MAJOR_KEYS = ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
MINOR_KEYS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"]
SCALES = {
    "C major": "C D E F G A B",
    "Ab major": "Ab Bb C Db Eb F G",
    "E major": "E F# G# A B C# D#",
    "Db major": "Db Eb F Gb Ab Bb C",
    "F# major": "F# G# A# B C# D# E#",
    "A minor": "A B C D E F G",
    "G# minor": "G# A# B C# D# E F#",
    "Eb minor": "Eb F Gb Ab Bb Cb Db",
    "F minor": "F G Ab Bb C Db Eb",
}
STEPS = {Mode.MAJOR: (0, 2, 4, 5, 7, 9, 11), Mode.MINOR: (0, 2, 3, 5, 7, 8, 10)}


@pytest.mark.parametrize(("mode", "names"), [("major", MAJOR_KEYS), ("minor", MINOR_KEYS)])
def test_tonics_are_those_of_the_key_signatures_with_fewer_accidentals(
    mode: str, names: list[str]
) -> None:
    assert [Key(tonic=tonic, mode=mode).name for tonic in range(12)] == [
        f"{name} {mode}" for name in names
    ]


@pytest.mark.parametrize(("name", "scale"), SCALES.items())
def test_scales_are_spelled_with_each_letter_once(name: str, scale: str) -> None:
    key = Key.parse(name)
    assert " ".join(spell((key.tonic + step) % 12, key) for step in STEPS[key.mode]) == scale


def test_the_leading_note_of_a_minor_key_is_sharp() -> None:
    assert spell(8, Key.parse("Am")) == "G#"
    assert spell(6, Key.parse("Gm")) == "F#"
    assert spell(11, Key.parse("Cm")) == "B"


def test_the_same_pitch_class_is_g_sharp_in_a_minor_and_a_flat_in_f_minor() -> None:
    assert (spell(8, Key.parse("Am")), spell(8, Key.parse("Fm"))) == ("G#", "Ab")


def test_spelling_never_needs_double_accidentals_and_keeps_the_pitch() -> None:
    for tonic, mode, pitch in itertools.product(range(12), Mode, range(12)):
        name = spell(pitch, Key(tonic=tonic, mode=mode))
        assert parse_note(name) == pitch
        assert len(name) <= 2, name


@pytest.mark.parametrize("pitch", [-1, 12])
def test_no_pitch_class_is_spelled_outside_0_to_11(pitch: int) -> None:
    with pytest.raises(SchemaError, match=f"{pitch} is not a pitch class"):
        spell(pitch)


@pytest.mark.parametrize(
    ("text", "pitch"),
    [("C", 0), ("b", 11), ("B#", 0), ("Cb", 11), ("F##", 7), ("Abb", 7), ("E♭", 3), ("g♯", 8)],
)
def test_notes_are_read(text: str, pitch: int) -> None:
    assert parse_note(text) == pitch


@pytest.mark.parametrize("text", ["", "H", "C#b", "Cx", "♯", "C major", "1"])
def test_what_is_no_note_is_refused_by_name(text: str) -> None:
    with pytest.raises(SchemaError) as refused:
        parse_note(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ab major", "Ab major"),
        ("A♭ Major", "Ab major"),
        ("Am", "A minor"),
        ("D# minor", "Eb minor"),
        ("Gb", "F# major"),
        ("  C#m ", "C# minor"),
    ],
)
def test_keys_are_read_and_named_canonically(text: str, name: str) -> None:
    assert Key.parse(text).name == name


@pytest.mark.parametrize("text", ["C dorian", "H minor", "", "C major seven"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        Key.parse(text)


@pytest.mark.parametrize(
    ("major", "minor"), [("C", "Am"), ("Ab", "Fm"), ("B", "G#m"), ("F#", "Ebm"), ("D", "Bm")]
)
def test_relative_keys_share_a_signature(major: str, minor: str) -> None:
    assert Key.parse(major).relative() == Key.parse(minor)
    assert Key.parse(minor).relative() == Key.parse(major)


def test_a_key_moves_by_semitones_and_comes_back_after_twelve() -> None:
    assert Key.parse("Ab").transposed(-3).name == "F major"
    assert Key.parse("Am").transposed(-1).name == "G# minor"
    for tonic, mode in itertools.product(range(12), Mode):
        key = Key(tonic=tonic, mode=mode)
        assert key.transposed(12) == key == key.transposed(5).transposed(-5)


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("Bb", "B♭"),
        ("Ab major", "A♭ major"),
        ("C#m7b5", "C♯m7♭5"),
        ("about a ball", "about a ball"),
        ("Ebb", "E♭♭"),
    ],
)
def test_accidentals_are_shown_as_musical_signs_and_words_are_left_alone(
    plain: str, shown: str
) -> None:
    assert pretty(plain) == shown
