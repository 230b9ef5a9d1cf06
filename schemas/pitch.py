"""Pitch classes, keys, and how musicians spell them."""

from enum import StrEnum
from typing import Final

from schemas.errors import SchemaError
from schemas.record import PitchClass, Record

# The line of fifths: a note's position on it decides its spelling. F is -1, C 0, G 1 … B 5, F# 6;
# Bb -2 … Fb -8.
_LETTERS: Final = "FCGDAEB"
_PLAIN: Final = {letter: (index * 7) % 12 for index, letter in enumerate(_LETTERS, start=-1)}


class Mode(StrEnum):
    """The two modes that keys are labelled with."""

    MAJOR = "major"
    MINOR = "minor"


def parse_note(name: str) -> PitchClass:
    """Pitch class of a note name such as ``C``, ``F#``, ``Bb`` or ``A♭``.

    >>> parse_note("Bb"), parse_note("F♯"), parse_note("Cb")
    (10, 6, 11)
    """
    letter, accidentals = name[:1].upper(), name[1:].replace("♯", "#").replace("♭", "b")
    if letter not in _PLAIN or (accidentals.strip("#") and accidentals.strip("b")):
        raise SchemaError(
            f"{name!r} is not a note name: expected a letter "
            "A to G, then sharps (#, ♯) or flats (b, ♭)"
        )
    return (_PLAIN[letter] + accidentals.count("#") - accidentals.count("b")) % 12


def _fifths_name(fifths: int) -> str:
    """Name of a position on the line of fifths: -2 is Bb, 6 is F#, 12 is B#."""
    turns, letter = divmod(fifths + 1, 7)
    return _LETTERS[letter] + ("#" * turns if turns > 0 else "b" * -turns)


# Tonics as key signatures spell them: the one with fewer accidentals (F# before Gb, Eb minor before
# D# minor).
_TONIC_FIFTHS: Final = {
    Mode.MAJOR: {0: 0, 1: -5, 2: 2, 3: -3, 4: 4, 5: -1, 6: 6, 7: 1, 8: -4, 9: 3, 10: -2, 11: 5},
    Mode.MINOR: {0: 0, 1: 7, 2: 2, 3: -3, 4: 4, 5: -1, 6: 6, 7: 1, 8: 8, 9: 3, 10: -2, 11: 5},
}


class Key(Record):
    """A key: tonic pitch class and mode.

    >>> Key(tonic=8, mode="major").name, Key(tonic=8, mode="minor").name
    ('Ab major', 'G# minor')
    """

    tonic: PitchClass
    mode: Mode

    @property
    def tonic_name(self) -> str:
        """The tonic as its key signature spells it, in ASCII: ``Ab``, ``F#``."""
        return _fifths_name(_TONIC_FIFTHS[self.mode][self.tonic])

    @property
    def name(self) -> str:
        """Tonic and mode: ``Ab major``."""
        return f"{self.tonic_name} {self.mode}"

    @classmethod
    def parse(cls, text: str) -> "Key":
        """A key from ``Ab major``, ``F# minor``, ``Am``, ``A♭``.

        >>> Key.parse("Bbm").name
        'Bb minor'
        """
        words = text.strip().split()
        if len(words) == 2:
            try:
                return cls(tonic=parse_note(words[0]), mode=Mode(words[1].lower()))
            except ValueError as error:
                raise SchemaError(
                    f"{text!r} is not a key: expected a note, then 'major' or 'minor' ({error})"
                ) from error
        if len(words) == 1 and words[0].endswith("m"):
            return cls(tonic=parse_note(words[0][:-1]), mode=Mode.MINOR)
        return cls(tonic=parse_note(text.strip()), mode=Mode.MAJOR)

    def transposed(self, semitones: int) -> "Key":
        """The key of the audio `semitones` higher."""
        return Key(tonic=(self.tonic + semitones) % 12, mode=self.mode)

    def relative(self) -> "Key":
        """The key with the same signature: A minor for C major."""
        if self.mode is Mode.MAJOR:
            return Key(tonic=(self.tonic + 9) % 12, mode=Mode.MINOR)
        return Key(tonic=(self.tonic + 3) % 12, mode=Mode.MAJOR)


def _respelled(fifths: int) -> int:
    """A position of the same pitch that needs no double accidental."""
    if fifths > 12:
        return fifths - 12
    return fifths + 12 if fifths < -8 else fifths


def spell(pitch: PitchClass, key: Key | None = None) -> str:
    """Note name of a pitch class as written in `key`: within -5 … +6 fifths of its tonic (b2 … #4).

    Double accidentals are respelled. Without a key, the spelling is that of C major.

    >>> spell(8, Key.parse("Am")), spell(8, Key.parse("Fm")), spell(1)
    ('G#', 'Ab', 'Db')
    """
    tonic = 0 if key is None else _TONIC_FIFTHS[key.mode][key.tonic]
    for fifths in range(tonic - 5, tonic + 7):
        if (fifths * 7) % 12 == pitch:
            return _fifths_name(_respelled(fifths))
    raise SchemaError(f"{pitch} is not a pitch class: expected 0 to 11")


def pretty(text: str) -> str:
    """ASCII accidentals after a note letter as musical signs: ``Bb`` becomes ``B♭``.

    >>> pretty("Ab major"), pretty("F#m7b5")
    ('A♭ major', 'F♯m7♭5')
    """
    out: list[str] = []
    for index, sign in enumerate(text):
        before = text[index - 1] if index else ""
        after = text[index + 1 : index + 2]
        is_flat = sign == "b" and (
            before in tuple("ABCDEFG") or (bool(out) and out[-1] == "♭") or after.isdigit()
        )
        out.append("♭" if is_flat else {"#": "♯"}.get(sign, sign))
    return "".join(out)
