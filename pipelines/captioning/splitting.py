"""Captions as clean text, and text as sentences."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

JOIN = ", "


def equal_chunks(terms: Sequence[str], limit: int, size: Callable[[str], int]) -> list[str]:
    """Terms joined in order in as few texts as the limit allows, of nearly the same size.

    A term beyond the limit is left out.

    >>> equal_chunks(["ab", "cd", "ef", "gh", "i"], 8, len)
    ['ab', 'cd, ef', 'gh, i']
    >>> equal_chunks(["ab", "cd", "ef"], 10, len), equal_chunks(["abcdef"], 5, len)
    (['ab, cd, ef'], [])
    """
    usable = [term for term in dict.fromkeys(terms) if size(term) <= limit]
    for number in range(1, len(usable) + 1):
        chunks = _cut(usable, number, size)
        if all(size(chunk) <= limit for chunk in chunks):
            return chunks
    return []


def _cut(terms: Sequence[str], number: int, size: Callable[[str], int]) -> list[str]:
    """Terms in `number` texts, each term in the one that its middle falls into."""
    total, passed = sum(size(term) for term in terms), 0
    groups: list[list[str]] = [[] for _ in range(number)]
    for term in terms:
        middle = passed + size(term) / 2
        groups[min(number - 1, int(number * middle / total))].append(term)
        passed += size(term)
    return [JOIN.join(group) for group in groups if group]


MAX_CHARS: Final = 2000  # longer source texts are cut at a sentence's end

# A full stop after these ends no sentence; after the others only where no figure follows ("Nos. 3",
# "approx. 90").
_NEVER_LAST: Final = frozenset(
    ["feat", "ft", "vs", "mr", "mrs", "ms", "dr", "st", "e.g", "i.e", "b.b"]
)
_BEFORE_FIGURE: Final = frozenset(
    ["no", "nos", "op", "approx", "ca", "cf", "vol", "arr", "pt", "min", "sec"]
)
_BEFORE_INITIAL: Final = frozenset(["by", "from", "composer"])
_SHORTENED: Final = frozenset(
    ["approx", "prod", "orig", "instr", "perc", "perf", "comp", "dept", "incl"]
)
_DOTTED: Final = re.compile(r"[a-z](?:\.[a-z])+$")  # A.B. Smith
# A run of stops is tried once, from its first, and never in part: a text of nothing but stops takes
# no longer than another.
_END: Final = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]]*+(?=\s)|\n++")
_SPACE: Final = re.compile(r"\s+")
_SPACES: Final = re.compile(r"\s*+")
_OPENS_WORD: Final = frozenset('(["“')
# signs of the words before that can decide anything
_LONGEST_EARLIER: Final = max(map(len, _BEFORE_INITIAL)) + 1


@lru_cache(maxsize=2048)  # a clip's caption comes back for each of its variants
def clean_text(text: str, max_chars: int = MAX_CHARS) -> str:
    """`text` with single spaces, without control characters, cut at the last sentence end within
    `max_chars`.

    Full-width and other compatibility forms stay as they are; only invisible characters go.

    >>> clean_text(" A tune\\nfor\\x00 flute. ")
    'A tune for flute.'
    """
    kept = (
        text if text.isascii() and text.isprintable() else "".join(_visible(sign) for sign in text)
    )
    plain = _SPACE.sub(" ", kept).strip()
    if len(plain) <= max_chars:
        return plain
    sentences = split_sentences(plain[:max_chars])
    whole = " ".join(sentences[:-1])
    if not whole:  # one endless sentence
        return plain[:max_chars].rpartition(" ")[0] or plain[:max_chars]
    return whole


def _visible(sign: str) -> str:
    if sign in "\n\r\t\x0b\x0c\x85\u2028\u2029":
        return " "
    # Cc control, Cf format (zero-width, direction marks), Cs lone surrogates, Co and Cn without
    # meaning
    return "" if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn") else sign


@lru_cache(maxsize=2048)
def split_sentences(text: str) -> tuple[str, ...]:
    """Sentences of a text, in order; joined by one space they are the text with single spaces.

    A stop ends a sentence where white space follows, except after an abbreviation or an initial.

    >>> split_sentences("Nos. 3 by B.B. King. It runs at 120.5 BPM!")
    ('Nos. 3 by B.B. King.', 'It runs at 120.5 BPM!')
    """
    out: list[str] = []
    start = 0
    for found in _END.finditer(text):
        if found[0][0] != "\n" and not _ends_here(text, found, start):
            continue
        out.append(text[start : found.end()])
        start = found.end()
    out.append(text[start:])
    sentences = [_SPACE.sub(" ", piece).strip() for piece in out]
    return tuple(sentence for sentence in sentences if sentence)


def _ends_here(text: str, stop: re.Match[str], start: int) -> bool:
    """Whether this stop ends a sentence.

    It looks at the words beside the stop alone, however long the sentence is.
    """
    follows = _SPACES.match(text, stop.end())
    after = text[follows.end() : follows.end() + 1] if follows else ""
    if not after:
        return True
    if stop[0][0] != ".":
        return not after.islower()
    before = text[_word_start(text, start, stop.start()) : stop.start()]
    if after.islower():
        return _forgot_its_capital(before, stop[0])
    return _ends_after(before, _tail(text, start, stop.start() - len(before)), after)


def _forgot_its_capital(word: str, stops: str) -> bool:
    """Whether a sentence may begin in lower case after this word: its stop neither shortens it nor
    trails off.
    """
    return len(word) > 3 and word.isalpha() and word.lower() not in _SHORTENED and len(stops) == 1


def _ends_after(before: str, earlier: str, after: str) -> bool:
    """Whether a full stop ends a sentence after this word, by what stands earlier and after it."""
    word = before.lower()
    if len(word) == 1 and word.isalpha():
        return not _is_initial(before, earlier)
    if word in _NEVER_LAST:
        return False
    if _DOTTED.match(word):
        return bool(earlier) and earlier.rpartition(" ")[2].lower() not in _BEFORE_INITIAL
    return after not in ",;:)" and not (word in _BEFORE_FIGURE and after.isdigit())


def _word_start(text: str, start: int, end: int) -> int:
    """Where the word begins that ends at `end`."""
    while end > start and not text[end - 1].isspace() and text[end - 1] not in _OPENS_WORD:
        end -= 1
    return end


def _tail(text: str, start: int, end: int) -> str:
    """The end of a stretch of text without the white space after it."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return text[max(start, end - _LONGEST_EARLIER) : max(start, end)]


def _is_initial(letter: str, earlier: str) -> bool:
    """Whether a single letter with a stop is an initial of "J. S. Bach", not a chord or key.

    Those end their sentence.
    """
    if not letter.isupper() or earlier[-1:] in (",", "-", "–", "—", ":", "|", "→"):
        return False
    last = earlier.rpartition(" ")[2]
    if letter not in "ABCDEFG":
        return letter != "I"
    return (
        not last
        or last.lower() in _BEFORE_INITIAL
        or (len(last) == 2 and last[0].isupper() and last[1] == ".")
    )
