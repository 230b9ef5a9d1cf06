"""Chords made wrong on purpose, or spelled differently, in texts whose list of chords is known from
the row.
"""

import random
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Row = dict[str, Any]
# nothing where a text does not allow it
Edit: TypeAlias = Callable[[str, Row, random.Random], str | None]
SHARPS: Final = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
FLATS: Final = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
OTHER_NAME: Final = {
    one: other
    for one, other in [*zip(SHARPS, FLATS, strict=True), *zip(FLATS, SHARPS, strict=True)]
    if one != other
}


def _root(symbol: str) -> str:
    return symbol[:2] if symbol[1:2] in ("#", "b") else symbol[:1]


def _in_chords(text: str, row: Row, change: Callable[[list[str]], list[str] | None]) -> str | None:
    """The text with its list of chords changed; the list is the row's, joined by commas and perhaps
    "and".
    """
    chords = list(row["chords"])
    if not chords:
        return None
    for last in (", ", ", and ", " and "):
        listed = last.join([", ".join(chords[:-1]), chords[-1]]) if len(chords) > 1 else chords[0]
        found = re.search(rf"(?:[Cc]hord[^.]*?\b)(?<![\w#])({re.escape(listed)})(?![\w#/])", text)
        if found:
            new = change(chords)
            return (
                None
                if new is None
                else text[: found.start(1)] + ", ".join(new) + text[found.end(1) :]
            )
    return None


def _named(chords: list[str]) -> list[int]:
    """Places of the chords that are one: N is none."""
    return [index for index, symbol in enumerate(chords) if symbol != "N"]


def chord_changed(new: Callable[[str, str, random.Random], str]) -> Edit:
    """Root and quality of one chord, drawn, replaced by what `new` makes of them."""

    def edit(text: str, row: Row, draw: random.Random) -> str | None:
        def change(chords: list[str]) -> list[str] | None:
            if not _named(chords):
                return None
            index = draw.choice(_named(chords))
            root = _root(chords[index])
            return [
                *chords[:index],
                new(root, chords[index][len(root) :], draw),
                *chords[index + 1 :],
            ]

        return _in_chords(text, row, change)

    return edit


def other_root(root: str, draw: random.Random) -> str:
    """A note of another pitch."""
    pitch = (SHARPS if root in SHARPS else FLATS).index(root)
    return SHARPS[(pitch + draw.randint(1, 11)) % 12]


def other_quality(quality: str, draw: random.Random) -> str:
    """A quality that a chord has not."""
    return draw.choice([other for other in ("", "m", "7", "maj7", "m7", "dim") if other != quality])


def chord_dropped(text: str, row: Row, draw: random.Random) -> str | None:
    """One chord left out; not one of two equal neighbours, which would change nothing."""

    def change(chords: list[str]) -> list[str] | None:
        indices = [
            index
            for index in _named(chords)
            if len(set(chords)) > 1 and chords[index] not in chords[index + 1 : index + 2]
        ]
        indices = [index for index in indices if index == 0 or chords[index - 1] != chords[index]]
        if not indices:
            return None
        index = draw.choice(indices)
        return chords[:index] + chords[index + 1 :]

    return _in_chords(text, row, change)


def chords_swapped(text: str, row: Row, draw: random.Random) -> str | None:
    """Two different neighbours in the other order."""

    def change(chords: list[str]) -> list[str] | None:
        indices = [
            index
            for index in range(len(chords) - 1)
            if chords[index] != chords[index + 1] and "N" not in chords[index : index + 2]
        ]
        if not indices:
            return None
        index = draw.choice(indices)
        new = [*chords[:index], chords[index + 1], chords[index], *chords[index + 2 :]]
        return new if new != chords else None

    return _in_chords(text, row, change)


def chords_respelled(text: str, row: Row, draw: random.Random) -> str | None:
    """Every root that has two names under its other one."""
    return _in_chords(
        text,
        row,
        lambda chords: [
            OTHER_NAME.get(_root(symbol), _root(symbol)) + symbol[len(_root(symbol)) :]
            for symbol in chords
        ],
    )
