"""Chord sequences in a sentence: plain, repeated a stated number of times, or with the time at
which each chord begins.
"""

import re
from bisect import bisect_right
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from pipelines.captioning.mention import FIGURE, SPELLED, Mention, Span, read_number, write_number
from pipelines.captioning.symbols import CHORD, CHORD_LIST, TOKEN, ChordToken, chord_tokens
from schemas.caption import FactKind

_CHORD_WORD: Final = re.compile(r"\bchord|progression|harmon|\bchanges\b|\bsequence\b")
_CHORD_AFTER: Final = re.compile(
    r"\s+(?:major |minor )?(?:chords?|chord progression|progression|sequence|vamp|changes)\b"
)
_SINGLE_ANCHOR: Final = re.compile(
    r"(?:\bchord|\bchords|\bprogression|\bsequence|\bharmony|\bchanges)(?:\s+(?:in|of|for|throughout)\s+(?:the|this|that)\s+\w+)?(?:\s+\w+ly)?"
    r"(?:\s+(?:is|are|goes|stays on|stays with|remains on|rests on|of|remains|consists "
    r"of|follows|heard|played|used|an?|just|only|in|set"
    r"|based|built|centered|centred|around|on|advances|runs|moves|through))*\s*[:,=]?\s*$"
)
_KEY_LIKE: Final = re.compile(r"\b(?:in|around|on)\s+$")
_HARMONY_WORD: Final = re.compile(r"chord|progression|harmon")
_MODE_WORD: Final = re.compile(r"major|minor")
_QUALIFIED: Final = re.compile(r"[A-G][#♯♭b]?(?:m|[679]|maj|dim|aug|sus|add)")
_NOT_A_FORM: Final = re.compile(r"[EFG]|[A-G][#♯♭b]")
_DASH: Final = re.compile(r"-|–|—|→|\|")
_NOT_CHORDS: Final = re.compile(
    r"\s*(?:form\b|structure|section|strings?\b|tuning|keys?\b|grade)", re.I
)

# "Repeated twice" can mean two rounds or three. It is read as two, like "played twice": that is
# what writers of captions mean by it.
_TIMES: Final = (
    r"(?:(?P<twice>twice|two times)|(?P<thrice>thrice)"
    r"|(?P<count>\d{1,2}|two|three|four|five|six|seven|eight|nine|ten) "
    r"times|[×x]\s?(?P<x>\d{1,2}))\b"
)
_PLAYED: Final = (
    r"(?:(?:are|is|all|which|that|and|each|then|a pattern|a loop|a cycle|over|the "
    r"whole|being|heard|sounded|played|playing|plays?|repeated"
    r"|repeating|repeats?|looped|looping|loops?|cycled|cycling|cycles?|run|runs|running|go(?:es)?|come|comes|round|through)\s+)*"
)
_AFTER_LIST: Final = re.compile(
    r"(?:\s+(?:chords?|chord "
    rf"progression|progression|sequence|loop|cycle)\b)?\s*[)\]]?\s*[,;(–—]?\s*{_PLAYED}{_TIMES}"
)
_ROUNDS: Final = (
    rf"(?:{_TIMES}(?: "
    r"(?:through|over|around|round))?|\b(?P<rounds>two|three|four|five|six|seven|eight|nine|ten|\d{1,2})"
    r" (?:rounds|passes|cycles|repetitions|repeats|runs|loops)(?: (?:of|through|over))?)"
)
_BEFORE_LIST: Final = re.compile(
    rf"{_ROUNDS}\s*[:,–—]?\s*(?:(?:the )?(?:chords?|chord "
    r"sequence|progression|sequence|loop)\s*[:,]?\s*(?:of )?)?[(\[]?$"
)
_REPEAT_HINT: Final = re.compile(
    r"twice|thrice|times|[×x] ?\d|rounds|passes|cycles|repetitions|repeats|runs|loops"
)


class _Timed(NamedTuple):
    """One chord with its start, and the words that say so."""

    token: ChordToken
    at_s: float
    span: Span


_UNIT: Final = r"\s?(?:s|secs?|seconds?)\b\.?(?! (?:long|of))"
_AT: Final = rf"(?:the )?(?P<at>{FIGURE}|zero|{SPELLED})"
_CHORD_TIME: Final = re.compile(
    rf"(?P<chord>{TOKEN})(?:\s+chord)?(?:,?\s+(?:starts?|starting|begins?|beginning|enters?|entering|sounds?|sounding|comes? "
    r"in|coming in"
    r"|comes?|arrives?|arriving|follows?|following|is played|is heard|is "
    r"reached|played|heard|takes over|again|returns?|right))*"
    rf"\s*(?:\bat|\bfrom|@|\((?:at |from |@)?)\s*{_AT}(?:{_UNIT})?(?: on(?:wards?)?)?\)?(?![\w/:])"
)
_TIME_CHORD: Final = re.compile(
    rf"(?:\b(?:[Aa]t|[Ff]rom)\s+|@\s*)?(?<![\w.,:/]){_AT}{_UNIT}\s*(?:->|[:,–—=→-])?\s*"
    r"(?:(?:comes?|there is|then|it is|it's|it (?:moves|goes|changes|turns|shifts) to|you "
    r"hear|is|to|begins|the (?:harmony|chord|music)"
    r" (?:is|moves to|goes to|changes to|turns to|becomes|shifts "
    rf"to))\s+)?(?:an?\s+)?(?P<chord>{TOKEN})"
)
_TIME_HINT: Final = re.compile(r"\d\s?s(?:ec|\b)|second")
_HAS_UNIT: Final = re.compile(r"\ds\b|\bs\b|\bsec")
_MAX_GAP: Final = 30  # characters between one timed chord and the next: "and then it moves on to"


def chord_mentions(sentence: str, lower: str) -> list[Mention]:
    """Chord sequences, each chord with its time or none with one.

    >>> [mention.value for text in ("Am at 0 s, F at 2.5 s.", "Am – F – C, played twice") for mention in chord_mentions(text, text.lower())]
    ['A:min@0 F:maj@2.5', 'A:min F:maj C:maj A:min F:maj C:maj']
    """
    if not CHORD.search(sentence):
        return []
    timed = _timed(sentence, lower) if _TIME_HINT.search(lower) else []
    plain = _plain(sentence, lower)
    return timed + [
        one
        for one in plain
        if not any(
            one.span.start < other.span.end and other.span.start < one.span.end for other in timed
        )
    ]


def _plain(sentence: str, lower: str) -> list[Mention]:
    """Lists of symbols near a word for chords, or joined by dashes."""
    out: list[Mention] = []
    for found in CHORD_LIST.finditer(sentence):
        tokens = chord_tokens(sentence, found.start(), found.end())
        if tokens and _is_told(sentence, lower, found, tokens):
            rounds = _rounds(lower, found) if _REPEAT_HINT.search(lower) else 1
            labels = [
                harte for harte, _ in groupby([token.chord.harte for token in tokens] * rounds)
            ]
            parts = tuple(note for token in tokens for note in token.notes)
            out.append(Mention(FactKind.CHORDS, " ".join(labels), Span(*found.span()), parts))
    return out


def _is_told(
    sentence: str, lower: str, found: re.Match[str], tokens: tuple[ChordToken, ...]
) -> bool:
    """Whether a list of letters is one of chords."""
    if _NOT_CHORDS.match(sentence, found.end()):
        return False
    before, after = lower[: found.start()], lower[found.end() :]
    if (
        "key" in before
        and _MODE_WORD.search(found[0])
        and not _HARMONY_WORD.search(before + after[:20])
    ):
        return False  # "the key changes from C major to D major"
    if len(tokens) > 1:
        return bool(
            _CHORD_WORD.search(before)
            or _CHORD_AFTER.match(after)
            or _looks_like_chords(found[0], len(tokens))
        )
    is_article = found[0] in ("A", "A flat", "A sharp") and not before.endswith(
        ("the ", "an ")
    )  # "A chord melody is played"
    if _CHORD_AFTER.match(after) and not is_article:
        return True
    if not _SINGLE_ANCHOR.search(before):
        return False
    # "the progression is in A minor" names a key, "in Am" a chord, unless the chords are there
    # already: "an Am – F progression in C"
    return not (
        _KEY_LIKE.search(before)
        and (_MODE_WORD.search(found[0]) or CHORD.search(sentence, 0, found.start()))
    )


def _looks_like_chords(text: str, count: int) -> bool:
    """Whether a list needs no word for chords: three or more, one with its quality, or joined by
    dashes and not all of A to D (a form).
    """
    dashes = len(_DASH.findall(text))
    return count > 2 and bool(_QUALIFIED.search(text) or (dashes > 1 and _NOT_A_FORM.search(text)))


def _rounds(lower: str, found: re.Match[str]) -> int:
    """How often a list is said to be played: 1 where no number is given ("over and over")."""
    said = _AFTER_LIST.match(lower, found.end()) or _BEFORE_LIST.search(lower, 0, found.start())
    if not said:
        return 1
    named = said.groupdict()
    if named["twice"]:
        return 2
    if named["thrice"]:
        return 3
    return max(1, int(read_number(named["count"] or named["x"] or named["rounds"])))


def _timed(sentence: str, lower: str) -> list[Mention]:
    """Chords with the times at which they begin; they have no parts, for neither can be moved
    alone.
    """
    both = [_pairs(pattern, sentence, lower) for pattern in (_CHORD_TIME, _TIME_CHORD)]
    pairs = min(
        (found for found in both if found), key=lambda found: found[0].span.start, default=[]
    )
    runs = _runs(pairs)
    lists = _lists(sentence) if any(len(run) == 1 for run in runs) else []
    said = bool(_CHORD_WORD.search(lower))
    out: list[Mention] = []
    for run in runs:
        span = Span(run[0].span.start, run[-1].span.end)
        if not _HAS_UNIT.search(lower, span.start, span.end) or (
            len(run) == 1 and not (said and _stands_alone(run[0], lists))
        ):
            continue
        value = " ".join(f"{one.token.chord.harte}@{write_number(one.at_s)}" for one in run)
        out.append(Mention(FactKind.TIMED_CHORDS, value, span))
    return out


def _pairs(pattern: re.Pattern[str], sentence: str, lower: str) -> list[_Timed]:
    out: list[_Timed] = []
    for found in pattern.finditer(sentence):
        tokens = chord_tokens(sentence, *found.span("chord"))
        if tokens:
            at_s = 0.0 if found["at"] == "zero" else read_number(found["at"])
            out.append(_Timed(tokens[0], at_s, Span(*found.span())))
    return out


def _runs(pairs: list[_Timed]) -> list[list[_Timed]]:
    """Timed chords that follow one another closely, in ascending order of time."""
    runs: list[list[_Timed]] = [pairs[:1]] if pairs else []
    for before, after in pairwise(pairs):
        if after.span.start - before.span.end <= _MAX_GAP and after.at_s > before.at_s:
            runs[-1].append(after)
        else:
            runs.append([after])
    return runs


def _lists(sentence: str) -> list[Span]:
    """Lists of several chords, in order."""
    spans = (Span(*found.span()) for found in CHORD_LIST.finditer(sentence))
    return [span for span in spans if len(chord_tokens(sentence, *span)) > 1]


def _stands_alone(one: _Timed, lists: list[Span]) -> bool:
    """Whether a lone chord with a time is the whole sequence, and not the last of a list without
    times.
    """
    root = one.token.notes[0].start
    place = bisect_right(lists, root, key=lambda span: span.start) - 1
    return place < 0 or lists[place].end <= root
