"""Progressions that leave no doubt about the key: written in C, moved to any tonic."""

from enum import StrEnum
from typing import Final, NamedTuple

from schemas.chord import Chord
from schemas.pitch import Key, Mode


class ChordRichness(StrEnum):
    """How many notes the chords have."""

    TRIADS = "triads"
    SEVENTHS = "sevenths"
    MIXED = "mixed"


class Book(NamedTuple):
    """Phrases of four chords as a lead sheet in C writes them."""

    openings: tuple[str, ...]  # from the tonic
    contrasts: tuple[str, ...]  # from elsewhere, towards the dominant
    turn: str  # the chord that may take the first half of a phrase's last bar, before the dominant
    close: str  # dominant and tonic at the end of the piece


_BOOKS: Final = {
    (Mode.MAJOR, ChordRichness.TRIADS): Book(
        ("C F G C", "C Am F G", "C F C G", "C F G/B C"), ("F C F G", "Am F C G"), "F", "G C"
    ),
    (Mode.MAJOR, ChordRichness.SEVENTHS): Book(
        ("Cmaj7 Am7 Dm7 G7", "Cmaj7 Fmaj7 Dm7 G7", "Cmaj7 Fmaj7 G7 Cmaj7"),
        ("Fmaj7 Cmaj7 Dm7 G7", "Fmaj7 Dm7 G7 Cmaj7"),
        "Dm7",
        "G7 Cmaj7",
    ),
    (Mode.MAJOR, ChordRichness.MIXED): Book(
        ("C Am Dm7 G7", "C C/E F G7", "C F G7 C"), ("F C Dm7 G7", "Fmaj7 C F G7"), "Dm7", "G7 C"
    ),
    (Mode.MINOR, ChordRichness.TRIADS): Book(
        ("Cm Fm G Cm", "Cm Ab Fm G", "Cm G/B Cm Fm"), ("Fm Cm Ab G", "Fm Cm Fm G"), "Fm", "G Cm"
    ),
    (Mode.MINOR, ChordRichness.SEVENTHS): Book(
        ("Cm7 Fm7 G7 Cm7", "Cm7 Abmaj7 Dm7b5 G7", "Cm7 Fm7 Cm7 G7"),
        ("Fm7 Cm7 Abmaj7 G7", "Fm7 Cm7 Dm7b5 G7"),
        "Fm7",
        "G7 Cm7",
    ),
    (Mode.MINOR, ChordRichness.MIXED): Book(
        ("Cm Ab Fm7 G7", "Cm Cm/Eb Fm G7", "Cm Fm G7 Cm"),
        ("Fm Cm Dm7b5 G7", "Fm Cm Ab G7"),
        "Fm7",
        "G7 Cm",
    ),
}
_SCALES: Final = {Mode.MAJOR: (0, 2, 4, 5, 7, 9, 11), Mode.MINOR: (0, 2, 3, 5, 7, 8, 10)}


def book(mode: Mode, harmony: ChordRichness) -> Book:
    """The phrases of a mode and kind of harmony, in C."""
    return _BOOKS[mode, harmony]


def chords_in(key: Key, symbols: str) -> tuple[Chord, ...]:
    """Chords of a phrase written in C, moved to `key`'s tonic.

    >>> [chord.harte for chord in chords_in(Key.parse("Dm"), "Cm G/B")]
    ['D:min', 'A:maj/3']
    """
    return tuple(Chord.parse_symbol(symbol).transposed(key.tonic) for symbol in symbols.split())


def scale_over(key: Key, chord: Chord) -> frozenset[int]:
    """Pitch classes that a melody may use over a chord: the key's scale, in minor with the leading
    note where the chord has it.

    >>> sorted(scale_over(Key.parse("Am"), Chord.parse("E:maj")))
    [0, 2, 4, 5, 8, 9, 11]
    """
    steps = set(_SCALES[key.mode])
    leading = (key.tonic + 11) % 12
    if leading in chord.pitches:
        steps = steps - {10} | {11}
    return frozenset((key.tonic + step) % 12 for step in steps)
