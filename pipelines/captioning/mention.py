"""What the parser finds in one sentence, and where it stands."""

import re
from typing import Final, NamedTuple

from schemas.caption import FactKind


class Span(NamedTuple):
    """Places `start` up to, not including, `end` in a sentence."""

    start: int
    end: int


class Mention(NamedTuple):
    """A fact as a sentence states it: value, the words that state it, and the parts that change
    when it moves.

    Parts are numbers (tempo, time) or note names (key, chords); a tempo word, a meter or a bare
    mode has none.
    """

    kind: FactKind
    value: str
    span: Span
    parts: tuple[Span, ...] = ()


_UNITS: Final = {
    word: number
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS: Final = {
    word: number
    for number, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
}
_UNIT: Final = "|".join(sorted(list(_UNITS)[1:], key=len, reverse=True))
_UNDER_100: Final = f"(?:(?:{'|'.join(_TENS)})(?:[ -](?:{_UNIT}))?|{_UNIT})"
SPELLED: Final = f"(?:(?:a|one|two|three)[ -]hundred(?:[ -](?:and[ -])?{_UNDER_100})?|{_UNDER_100})"
FIGURE: Final = r"\d{1,3}(?:\.\d+)?"
NUMBER: Final = rf"(?:(?<![\w.,:/#♯♭]){FIGURE}(?![\d/:])|\b{SPELLED}\b)"
_WORDS: Final = re.compile(r"[a-z]+")


def read_number(text: str) -> float:
    """A number from its figures or English words, up to 399.

    >>> read_number("120.5"), read_number("one hundred and twenty-two")
    (120.5, 122.0)
    """
    if text[:1].isdigit():
        return float(text)
    total = 0
    for word in _WORDS.findall(text.lower()):
        if word == "hundred":
            total = max(total, 1) * 100
        elif word in _TENS:
            total += 10 * _TENS[word]
        else:
            total += _UNITS.get(word, 1 if word == "a" else 0)
    return float(total)


def write_number(number: float) -> str:
    """A number as `Fact.value` writes it: no trailing zeros, three decimals at most.

    >>> write_number(120.0), write_number(98.44)
    ('120', '98.44')
    """
    return f"{number:.3f}".rstrip("0").rstrip(".")
