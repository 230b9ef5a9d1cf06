"""Chord symbols in running text."""

import re
from typing import Final, NamedTuple

from pipelines.captioning.mention import TextSpan, any_of, verbose
from schemas.chord import Chord, ChordQuality
from schemas.pitch import parse_note

Q = ChordQuality
# Suffixes as lead sheets and prose write them. Ninths and up are read as the seventh chord under
# them, as mir_eval's "sevenths" does.
SUFFIXES: Final[dict[str, ChordQuality]] = {
    "": Q.MAJ,
    "maj": Q.MAJ,
    "M": Q.MAJ,
    "add9": Q.MAJ,
    "add2": Q.MAJ,
    "(add9)": Q.MAJ,
    "add4": Q.MAJ,
    "add11": Q.MAJ,
    "Maj": Q.MAJ,
    "Min": Q.MIN,
    "Maj7": Q.MAJ7,
    "Maj9": Q.MAJ7,
    "Min7": Q.MIN7,
    "Min9": Q.MIN7,
    "Dim": Q.DIM,
    "Aug": Q.AUG,
    "Sus2": Q.SUS2,
    "Sus4": Q.SUS4,
    "m": Q.MIN,
    "min": Q.MIN,
    "madd9": Q.MIN,
    "mmaj7": Q.MIN,
    "mM7": Q.MIN,
    "m(maj7)": Q.MIN,
    "7": Q.DOM7,
    "9": Q.DOM7,
    "11": Q.DOM7,
    "13": Q.DOM7,
    "7b9": Q.DOM7,
    "7#9": Q.DOM7,
    "7#11": Q.DOM7,
    "7b5": Q.DOM7,
    "7#5": Q.DOM7,
    "aug7": Q.DOM7,
    "maj7": Q.MAJ7,
    "M7": Q.MAJ7,
    "Δ": Q.MAJ7,
    "Δ7": Q.MAJ7,
    "maj9": Q.MAJ7,
    "M9": Q.MAJ7,
    "maj11": Q.MAJ7,
    "maj13": Q.MAJ7,
    "m7": Q.MIN7,
    "min7": Q.MIN7,
    "m9": Q.MIN7,
    "min9": Q.MIN7,
    "m11": Q.MIN7,
    "m13": Q.MIN7,
    "dim": Q.DIM,
    "°": Q.DIM,
    "dim7": Q.DIM7,
    "°7": Q.DIM7,
    "m7b5": Q.HDIM7,
    "min7b5": Q.HDIM7,
    "m7(b5)": Q.HDIM7,
    "ø": Q.HDIM7,
    "ø7": Q.HDIM7,
    "aug": Q.AUG,
    "+": Q.AUG,
    "sus2": Q.SUS2,
    "sus4": Q.SUS4,
    "sus": Q.SUS4,
    "7sus4": Q.SUS4,
    "9sus4": Q.SUS4,
    "6": Q.MAJ6,
    "maj6": Q.MAJ6,
    "6/9": Q.MAJ6,
    "69": Q.MAJ6,
    "m6": Q.MIN6,
    "min6": Q.MIN6,
}
_SPOKEN: Final[dict[str, ChordQuality]] = {
    "major": Q.MAJ,
    "minor": Q.MIN,
    "diminished": Q.DIM,
    "augmented": Q.AUG,
    "major seventh": Q.MAJ7,
    "major 7th": Q.MAJ7,
    "major 7": Q.MAJ7,
    "minor seventh": Q.MIN7,
    "minor 7th": Q.MIN7,
    "minor 7": Q.MIN7,
    "seventh": Q.DOM7,
    "7th": Q.DOM7,
    "dominant seventh": Q.DOM7,
    "dominant 7th": Q.DOM7,
    "dominant 7": Q.DOM7,
    "diminished seventh": Q.DIM7,
    "diminished 7th": Q.DIM7,
    "half-diminished": Q.HDIM7,
    "half-diminished seventh": Q.HDIM7,
    "suspended second": Q.SUS2,
    "suspended fourth": Q.SUS4,
    "major sixth": Q.MAJ6,
    "sixth": Q.MAJ6,
    "minor sixth": Q.MIN6,
}


def _either(words: list[str]) -> str:
    """A pattern for any of these, the longest first; sharps and flats in either writing."""
    return "|".join(
        re.escape(word).replace("b", "[b♭]").replace(r"\#", "[#♯]")
        for word in sorted(words, key=len, reverse=True)
    )


# The b of "sus", "dim" and so on is not a flat: only digits follow one inside a suffix, and no
# other suffix holds the letter b.
BEFORE_NOTE: Final = r"(?<![\w#♯♭'’])"
_NOTE: Final = r"[A-G](?:[#♯♭]|b)?"
_AFTER: Final = r"(?![\w#♯♭°ø+'’&]|/\w|\.\w)"
_GOES_ON: Final = any_of(
    "and then to in with over from is are as before throughout follow follows followed sounds"
    " chords? progression going leading moving"
    " into for or"
)
# "A" before a small letter, unless the words go on about the harmony
_NO_ARTICLE: Final = rf"(?! A\s+ (?!{_GOES_ON}\b) [a-z] )"
# "A minor seventh", "Eb major", but not "A minor scale"
_SPOKEN_CHORD: Final = rf"""[A-G] (?: [#♯♭] | b(?![a-z]) | [ -](?:sharp|flat)\b )? [ -]
      (?:{_either(list(_SPOKEN))})\b
    (?! [ -] {any_of("key scale mode tonality")} )"""
_SYMBOL: Final = (
    rf"{_NO_ARTICLE} {_NOTE} (?:{_either(list(SUFFIXES)[1:])})? (?: / {_NOTE} (?![A-Za-z]) )? "
    rf"{_AFTER}"
)
_SPELLED_ROOT: Final = r"[A-G][ -](?:sharp|flat)\b"  # "E flat": the major chord
TOKEN: Final = (
    rf"{BEFORE_NOTE} (?: {_SPOKEN_CHORD} | {_SPELLED_ROOT} | {_SYMBOL} )"  # for `verbose`
)
_REST: Final = r"(?<!\w) (?:N\.C\.|NC|N) (?![\w.])"
_RESOLVING: Final = any_of(
    "moving going transitioning resolving shifting leading changing passing proceeding returning"
)
_LINKS: Final = any_of("and then to into and_then followed_by moving_to going_to before")
# Between two chords: ", then a", "before resolving to", ", transitioning smoothly to", "→", "-",
# "followed by", a space
_BETWEEN: Final = rf"""(?: \s*,\s* (?: {any_of("and then to finally and_then")} \s+ )? (?: an?\s+
      (?=[B-G]) )?
    | (?: ,\s* | \s+ ) (?: {any_of("and then before and_then")} \s+ )? {_RESOLVING}
      (?:\s+\w+ly)? (?:\s+(?:on|back))? \s+ (?:to|into|through) \s+
    | \s* (?: -> | → | – | — | \| | ; | > ) \s*
    | \s*-\s*
    | \s+ {_LINKS} \s+
    | \s+ )"""
CHORD: Final = verbose(TOKEN)
CHORD_LIST: Final = verbose(
    rf"(?: {_REST} {_BETWEEN} )? {TOKEN} (?: {_BETWEEN} (?: {TOKEN} | {_REST} ) )*"
)
_PARTS: Final = verbose(
    rf"""{BEFORE_NOTE} (?:
      (?P<spoken_root> [A-G] (?: [#♯♭] | b(?![a-z]) | [ -](?:sharp|flat)\b )? ) [ -] (?P<spoken>
        {_either(list(_SPOKEN))} ) \b
    | (?P<spelled_root> [A-G][ -](?:sharp|flat)\b )
    | (?P<root> {_NOTE} ) (?P<suffix> {_either(list(SUFFIXES)[1:])} )? (?: / (?P<bass> {_NOTE} ) )?
      {_AFTER} )"""
)


class ChordToken(NamedTuple):
    """One chord in a text and where its root and bass are named."""

    chord: Chord
    notes: tuple[TextSpan, ...]


def chord_tokens(text: str, start: int, end: int) -> tuple[ChordToken, ...]:
    """The chords that a list holds between two positions of a text; "N.C." is none.

    >>> [token.chord.harte for token in chord_tokens("C♯m7, E minor and A/C#", 0, 22)]
    ['Db:min7', 'E:min', 'A:maj/3']
    """
    return tuple(_token(found) for found in _PARTS.finditer(text, start, end))


def _token(found: re.Match[str]) -> ChordToken:
    named = "spoken_root" if found["spoken"] else "spelled_root"
    if found[named]:
        root_name = found[named].replace("-", " ")
        sign = {"sharp": "#", "flat": "b"}.get(root_name.rpartition(" ")[2], root_name[1:])
        chord = Chord(
            root=parse_note(root_name[0] + sign),
            quality=_SPOKEN[found["spoken"]] if found["spoken"] else Q.MAJ,
        )
        return ChordToken(chord, (TextSpan(*found.span(named)),))
    root = parse_note(found["root"])
    quality = SUFFIXES[(found["suffix"] or "").replace("♭", "b").replace("♯", "#")]
    if not found["bass"]:
        return ChordToken(Chord(root=root, quality=quality), (TextSpan(*found.span("root")),))
    bass = parse_note(found["bass"])
    return ChordToken(
        Chord(root=root, quality=quality, bass=None if bass == root else bass),
        (TextSpan(*found.span("root")), TextSpan(*found.span("bass"))),
    )
