"""Which texts may stand in a vocabulary: plain, neither too short nor too long, naming nobody, and
stating nothing that can be measured.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Final

from pipelines.captioning.facts import parse_facts
from pipelines.captioning.judging import is_markup
from pipelines.captioning.splitting import clean_text, split_sentences
from pipelines.captioning.tempo_words import TEMPO_RANGES
from schemas.fact import FactKind
from schemas.vocabulary import Form

_LEAST_WORDS: Final = {Form.LONG: 3, Form.SHORT: 1}
_MOST_WORDS: Final = {Form.LONG: 60, Form.SHORT: 6}
# of words of ordinary length; longer ones are not words
_MOST_CHARS: Final = {Form.LONG: 600, Form.SHORT: 80}
_LONGEST_LINE: Final = 20_000  # characters; what is longer is not looked through for sentences
_WORD: Final = re.compile(r"\w+(?:['’-]\w+)*")
_LETTERS: Final = re.compile(r"\w+")
_NO_DIFFERENCE: Final = re.compile(r"[^\w#♯♭/&+]+")  # C is not C#, nor 3/4 34, nor R&B RB
_TAG_ENDS: Final = " \t\r\n.,;:!\"'“”‘’"
# Of dynamics, instruments and moods an embedding knows something; of these it does not.
_MEASURED: Final = frozenset(
    (
        FactKind.BPM,
        FactKind.TEMPO_WORD,
        FactKind.METER,
        FactKind.KEY,
        FactKind.CHORDS,
        FactKind.TIMED_CHORDS,
        FactKind.TIME,
    )
)
# A tag of one word is read as what it says of the music: "slow" is its tempo, "minor" its key. Of
# more words ("slow melody", "low toms"), those that speak of tempo, key or meter are enough:
# whatever is slow, nobody has measured it.
_READINGS_OF_A_WORD: Final = (
    "{}",
    "The music is {}.",
    "The tempo is {}.",
    "It is in a {} key.",
    "Key: {}",
    "Chords: {}",
)
_NO_TEMPO: Final = ("grave", "medium", "moderate")  # a mood, a size
_SPEAKS_OF_IT: Final = frozenset(
    ("major", "minor", "waltz", "bpm", "tempo", "slower", "faster", "slowed", *TEMPO_RANGES)
).difference(_NO_TEMPO)
_ONE_WORD: Final = re.compile(r"[\w#♯♭/]+")  # an e-guitar is two
_LEAST_LETTERS: Final = 3  # of a name's word
_STOP_WORD: Final = re.compile(
    "the|and|for|with|without|from|into|onto|over|under|about|after|before|between|but|not|are|was|were|been|has|have|had|his|her|its"
    "|our|your|their|they|them|you|she|him|who|what|when|where|why|how|this|that|these|those|there|here|all|any|some|one|two|out|off"
    "|can|will|would|feat|featuring|vol|part"
)


class TextFault(StrEnum):
    """Why a text is dropped."""

    MARKUP = "markup"  # links, code, lists, or a model speaking of itself
    NAMES = "names"  # a word of its track's title, artist or album
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    FACTS = "facts"  # a tempo, meter, key, chords or a time


def sentences_of(caption: str) -> list[str]:
    """The sentences of a caption, as clean text; a line beyond all measure is one.

    >>> sentences_of("A flute\\x00 plays. It is sad.\\nBirds sing")
    ['A flute plays.', 'It is sad.', 'Birds sing']
    """
    out: list[str] = []
    for line in caption.splitlines():
        if len(line) > _LONGEST_LINE:
            out.append(line)
        else:
            out += split_sentences(clean_text(line, _LONGEST_LINE))
    return out


def cleaned(text: str, form: Form) -> str:
    """A text without control characters; of a tag, without the stops and quotes around it.

    >>> cleaned(' "lo-fi\\x07 beats". ', Form.SHORT)
    'lo-fi beats'
    """
    plain = clean_text(text, max(len(text), 1))
    return plain.strip(_TAG_ENDS) if form is Form.SHORT else plain


def name_words(names: Iterable[str]) -> frozenset[str]:
    """The words of names that give a track away: of three letters or more, no stop words.

    >>> sorted(name_words(["The Wind and U", "Ana Ramírez"]))
    ['ana', 'ramírez', 'wind']
    """
    words = {word for name in names for word in _LETTERS.findall(name.casefold())}
    return frozenset(
        word for word in words if len(word) >= _LEAST_LETTERS and not _STOP_WORD.fullmatch(word)
    )


def fault(
    raw: str, text: str, form: Form, names: frozenset[str], *, keep_facts: bool
) -> TextFault | None:
    """What is wrong with a text (`raw` before it was cleaned), or nothing.

    `names` are words that it must not have.

    >>> named, stated = "Ana sings softly.", "It runs at 90 BPM."
    >>> fault(named, named, Form.LONG, frozenset(["ana"]), keep_facts=False)
    <TextFault.NAMES: 'names'>
    >>> fault(stated, stated, Form.LONG, frozenset(["ana"]), keep_facts=False)
    <TextFault.FACTS: 'facts'>
    """
    if len(text) > _MOST_CHARS[form] or len(raw) > _LONGEST_LINE:
        return TextFault.TOO_LONG
    if is_markup(raw):
        return TextFault.MARKUP
    if names and not names.isdisjoint(_LETTERS.findall(text.casefold())):
        return TextFault.NAMES
    words = len(_WORD.findall(text))
    if words < _LEAST_WORDS[form]:
        return TextFault.TOO_SHORT
    if words > _MOST_WORDS[form]:
        return TextFault.TOO_LONG
    return TextFault.FACTS if not keep_facts and _states_what_is_measured(text, form) else None


def sameness(text: str) -> str:
    """What two texts share that differ in case, spaces and punctuation alone.

    >>> sameness("Lo-Fi beats!") == sameness("lo fi  beats"), sameness("in C") == sameness("in C#")
    (True, False)
    """
    return _NO_DIFFERENCE.sub(" ", text.casefold()).strip()


@lru_cache(maxsize=65_536)  # the same tag comes back with thousands of clips
def _states_what_is_measured(text: str, form: Form) -> bool:
    if form is Form.SHORT and not _SPEAKS_OF_IT.isdisjoint(_WORD.findall(text.casefold())):
        return True
    readings = _READINGS_OF_A_WORD if form is Form.SHORT and _ONE_WORD.fullmatch(text) else ("{}",)
    return any(
        fact.kind in _MEASURED for reading in readings for fact in parse_facts(reading.format(text))
    )
