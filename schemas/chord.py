"""Chords: a closed vocabulary of qualities, Harte syntax inside, lead-sheet symbols in text.

Harte syntax: C. Harte et al., "Symbolic representation of musical chords", ISMIR 2005.
"""

from enum import StrEnum
from typing import Final

from schemas.errors import SchemaError
from schemas.pitch import Key, parse_note, spell
from schemas.record import PitchClass, Record


class ChordQuality(StrEnum):
    """Chord qualities by their Harte shorthand."""

    MAJ = "maj"
    MIN = "min"
    DOM7 = "7"
    MAJ7 = "maj7"
    MIN7 = "min7"
    DIM = "dim"
    DIM7 = "dim7"
    HDIM7 = "hdim7"
    AUG = "aug"
    SUS2 = "sus2"
    SUS4 = "sus4"
    MAJ6 = "maj6"
    MIN6 = "min6"


INTERVALS: Final[dict[ChordQuality, tuple[int, ...]]] = {  # semitones above the root
    ChordQuality.MAJ: (0, 4, 7),
    ChordQuality.MIN: (0, 3, 7),
    ChordQuality.DOM7: (0, 4, 7, 10),
    ChordQuality.MAJ7: (0, 4, 7, 11),
    ChordQuality.MIN7: (0, 3, 7, 10),
    ChordQuality.DIM: (0, 3, 6),
    ChordQuality.DIM7: (0, 3, 6, 9),
    ChordQuality.HDIM7: (0, 3, 6, 10),
    ChordQuality.AUG: (0, 4, 8),
    ChordQuality.SUS2: (0, 2, 7),
    ChordQuality.SUS4: (0, 5, 7),
    ChordQuality.MAJ6: (0, 4, 7, 9),
    ChordQuality.MIN6: (0, 3, 7, 9),
}
SUFFIX: Final[dict[ChordQuality, str]] = {  # what a lead sheet writes after the root
    ChordQuality.MAJ: "",
    ChordQuality.MIN: "m",
    ChordQuality.DOM7: "7",
    ChordQuality.MAJ7: "maj7",
    ChordQuality.MIN7: "m7",
    ChordQuality.DIM: "dim",
    ChordQuality.DIM7: "dim7",
    ChordQuality.HDIM7: "m7b5",
    ChordQuality.AUG: "aug",
    ChordQuality.SUS2: "sus2",
    ChordQuality.SUS4: "sus4",
    ChordQuality.MAJ6: "6",
    ChordQuality.MIN6: "m6",
}
_QUALITY_OF: Final = {suffix: quality for quality, suffix in SUFFIX.items()} | {
    "M7": ChordQuality.MAJ7,
    "min": ChordQuality.MIN,
    "maj": ChordQuality.MAJ,
    "min7": ChordQuality.MIN7,
    "ø": ChordQuality.HDIM7,
    "°": ChordQuality.DIM,
    "°7": ChordQuality.DIM7,
    "+": ChordQuality.AUG,
}
# Harte writes the bass as a degree of the major scale on the root.
_DEGREES: Final = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")
NO_CHORD: Final = "N"


class Chord(Record):
    """A chord: root, quality and, for an inversion, the bass note (pitch classes).

    >>> Chord.parse("A:min/b3").symbol(), Chord.parse("Bb:maj7").transposed(2).harte
    ('Am/C', 'C:maj7')
    """

    root: PitchClass
    quality: ChordQuality
    bass: PitchClass | None = None

    @property
    def harte(self) -> str:
        """The chord in Harte syntax with canonical spelling: ``Ab:maj/3``."""
        degree = (
            ""
            if self.bass in (None, self.root)
            else f"/{_DEGREES[((self.bass or 0) - self.root) % 12]}"
        )
        return f"{spell(self.root)}:{self.quality}{degree}"

    def symbol(self, key: Key | None = None) -> str:
        """The chord as lead sheets write it in `key`, in ASCII: ``Abmaj7``, ``F#m7b5``, ``C/E``."""
        bass = "" if self.bass in (None, self.root) else f"/{spell(self.bass or 0, key)}"
        return f"{spell(self.root, key)}{SUFFIX[self.quality]}{bass}"

    @property
    def pitches(self) -> frozenset[int]:
        """Pitch classes that sound, the bass included."""
        inner = {(self.root + step) % 12 for step in INTERVALS[self.quality]}
        return frozenset(inner if self.bass is None else inner | {self.bass})

    def transposed(self, semitones: int) -> "Chord":
        """The chord `semitones` higher: root and bass move together."""
        bass = None if self.bass is None else (self.bass + semitones) % 12
        return Chord(root=(self.root + semitones) % 12, quality=self.quality, bass=bass)

    @classmethod
    def parse(cls, harte: str) -> "Chord":
        """A chord from Harte syntax; raises `SchemaError` outside the vocabulary."""
        head, _, degree = harte.partition("/")
        root_name, colon, shorthand = head.partition(":")
        root = parse_note(root_name)
        try:
            quality = ChordQuality(shorthand if colon else "maj")
            step = _DEGREES.index(degree) if degree else 0
        except ValueError as error:
            allowed = ", ".join(ChordQuality)
            raise SchemaError(
                f"{harte!r} is not a chord of the vocabulary: "
                f"expected root:quality[/degree], quality one of {allowed}"
            ) from error
        return cls(root=root, quality=quality, bass=(root + step) % 12 if step else None)

    @classmethod
    def parse_symbol(cls, symbol: str) -> "Chord":
        """A chord from a lead-sheet symbol.

        >>> Chord.parse_symbol("F♯m7/C#").harte
        'F#:min7/5'
        """
        plain = symbol.strip().replace("♯", "#").replace("♭", "b")
        head, slash, bass_name = plain.partition("/")
        split = 2 if head[1:2] in ("#", "b") else 1
        if head[split:] not in _QUALITY_OF:
            raise SchemaError(
                f"{symbol!r} is not a chord symbol: expected a note and one of "
                f"{', '.join(s or 'nothing' for s in SUFFIX.values())}"
            )
        root = parse_note(head[:split])
        bass = parse_note(bass_name) if slash else None
        return cls(
            root=root, quality=_QUALITY_OF[head[split:]], bass=None if bass == root else bass
        )
