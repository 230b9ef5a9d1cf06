"""What the parser finds in one sentence, and where it stands."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.fact import Fact, FactKind


def any_of(words: str) -> str:
    """A group that matches any of these words, the earlier first; `_` stands for a space within
    one.

    >>> any_of("meter time_signature")
    '(?:meter|time[ ]signature)'
    """
    return f"(?:{alternatives(words)})"


def alternatives(words: str) -> str:
    """The same without a group, to stand beside others."""
    return "|".join(words.split()).replace("_", "[ ]")


def verbose(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A pattern whose white space and comments count for nothing: a space is written ``[ ]``.

    >>> verbose(r"in [ ] (\\d) [ ] time  # in 3 time").search("A song in 3 time.")[1]
    '3'
    """
    return re.compile(pattern, re.VERBOSE | (re.IGNORECASE if ignore_case else re.NOFLAG))


class TextSpan(NamedTuple):
    """Places `start` up to, not including, `end` in a sentence."""

    start: int
    end: int


def overlaps(span: TextSpan, others: Sequence[TextSpan]) -> bool:
    """Whether a span shares a character with any of the others.

    >>> overlaps(TextSpan(2, 4), [TextSpan(0, 2), TextSpan(3, 9)])
    True
    """
    return any(span.start < other.end and other.start < span.end for other in others)


class Mention(NamedTuple):
    """A fact as a sentence states it: the words that state it, and the parts that change when it
    moves.

    Parts are numbers (tempo, time) or note names (key, chords); a tempo word, a meter or a bare
    mode has none.
    """

    fact: Fact
    span: TextSpan
    parts: tuple[TextSpan, ...] = ()

    @property
    def kind(self) -> FactKind:
        """The kind of its fact."""
        return self.fact.kind


# fmt: off
_BELOW_TWENTY: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)
# fmt: on
_TEN_WORDS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS: Final = {word: number for number, word in enumerate(_BELOW_TWENTY)}
_TENS: Final = {word: number for number, word in enumerate(_TEN_WORDS, start=2)}
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
