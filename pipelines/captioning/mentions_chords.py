"""Chord sequences in a sentence: plain, repeated a stated number of times, or with the time at
which each chord begins.
"""

import re
from bisect import bisect_right
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from pipelines.captioning.mention import (
    FIGURE,
    SPELLED,
    Mention,
    TextSpan,
    any_of,
    overlaps,
    read_number,
    verbose,
)
from pipelines.captioning.symbols import CHORD, CHORD_LIST, TOKEN, ChordToken, chord_tokens
from schemas.fact import ChordsFact, TimedChord, TimedChordsFact

_CHORD_WORD: Final = re.compile(r"\bchord|progression|harmon|\bchanges\b|\bsequence\b")
_CHORD_AFTER: Final = re.compile(
    r"\s+(?:major |minor )?(?:chords?|chord progression|progression|sequence|vamp|changes)\b"
)
_STAYS_ON: Final = any_of(  # what may stand between "the chord" and its symbol
    "is are goes stays_on stays_with remains_on rests_on of remains consists_of follows heard"
    " played used an? just only in set"
    " based built centered centred around on advances runs moves through"
)
# The words before a single chord: "the harmony stays on", "one chord:", "the progression of the
# song is just"
_BEFORE_SINGLE: Final = verbose(
    rf"""(?: \bchord | \bchords | \bprogression | \bsequence | \bharmony | \bchanges )
    (?: \s+ (?:in|of|for|throughout) \s+ (?:the|this|that) \s+ \w+ )? (?:\s+\w+ly)?
    (?: \s+ {_STAYS_ON} )* \s* [:,=]? \s* $"""
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
_SPELLED_COUNTS: Final = "two|three|four|five|six|seven|eight|nine|ten"
_TIMES: Final = rf"""(?: (?P<twice> twice | two[ ]times ) | (?P<thrice>thrice)
    | (?P<count> \d{{1,2}} | {_SPELLED_COUNTS} ) [ ]times | [×x] \s? (?P<x>\d{{1,2}}) )\b"""
_PLAYED: Final = any_of(
    "are is all which that and each then a_pattern a_loop a_cycle over the_whole being heard"
    " sounded played playing plays? repeated"
    " repeating repeats? looped looping loops? cycled cycling cycles? run runs running go(?:es)?"
    " come comes round through"
)
# "Am – F – C, played twice", "Am, F chords (×3)"
_AFTER_LIST: Final = verbose(
    rf"""(?: \s+ {any_of("chords? chord_progression progression sequence loop cycle")} \b )?
    \s* [)\]]? \s* [,;(–—]? \s* (?:{_PLAYED}\s+)* {_TIMES}"""
)
# "three rounds of Am – F", "twice through: Am, F"
_BEFORE_LIST: Final = verbose(
    rf"""(?: {_TIMES} (?:[ ]{any_of("through over around round")})?
      | \b (?P<rounds> {_SPELLED_COUNTS} | \d{{1,2}} )
        [ ]{any_of("rounds passes cycles repetitions repeats runs loops")}
        (?:[ ]{any_of("of through over")})? )
    \s* [:,–—]? \s* (?: (?:the[ ])? {any_of("chords? chord_sequence progression sequence loop")} \s*
      [:,]? \s* (?:of[ ])? )? [(\[]? $"""
)
_REPEAT_HINT: Final = re.compile(
    r"twice|thrice|times|[×x] ?\d|rounds|passes|cycles|repetitions|repeats|runs|loops"
)


class _Timed(NamedTuple):
    """One chord with its start, and the words that say so."""

    token: ChordToken
    at_s: float
    span: TextSpan


_UNIT: Final = r"\s? (?:s|secs?|seconds?) \b \.? (?![ ](?:long|of))"
_AT_S: Final = rf"(?:the[ ])? (?P<at> {FIGURE} | zero | {SPELLED} )"
_BEGINS: Final = any_of(
    "starts? starting begins? beginning enters? entering sounds? sounding comes?_in coming_in"
    " comes? arrives? arriving follows? following"
    " is_played is_heard is_reached played heard takes_over again returns? right"
)
# "Am at 0 s", "F (2.5 s)", "C comes in right at four seconds"
_CHORD_TIME: Final = verbose(
    rf"""(?P<chord>{TOKEN}) (?:\s+chord)? (?: ,?\s+ {_BEGINS} )*
    \s* (?: \bat | \bfrom | @ | \( (?:at[ ]|from[ ]|@)? ) \s* {_AT_S} (?:{_UNIT})?
      (?:[ ]on(?:wards?)?)? \)? (?![\w/:])"""
)
_MOVES_TO: Final = "is moves_to goes_to changes_to turns_to becomes shifts_to"
# "at 2.5 s it moves to F", "from 4 seconds: C"
_TIME_CHORD: Final = verbose(
    rf"""(?: \b(?:[Aa]t|[Ff]rom)\s+ | @\s* )? (?<![\w.,:/]) {_AT_S} {_UNIT} \s* (?: -> | [:,–—=→-]
      )? \s*
    (?: (?: comes? | there[ ]is | then | it[ ]is | it's |
      it[ ](?:moves|goes|changes|turns|shifts)[ ]to | you[ ]hear | is | to | begins
        | the[ ](?:harmony|chord|music)[ ]{any_of(_MOVES_TO)} ) \s+ )?
    (?:an?\s+)? (?P<chord>{TOKEN})"""
)
_TIME_HINT: Final = re.compile(r"\d\s?s(?:ec|\b)|second")
_HAS_UNIT: Final = re.compile(r"\ds\b|\bs\b|\bsec")
_MAX_GAP: Final = 30  # characters between one timed chord and the next: "and then it moves on to"


def chord_mentions(sentence: str, lower: str) -> list[Mention]:
    """Chord sequences, each chord with its time or none with one.

    >>> [mention] = chord_mentions("Am – F – C, played twice", "am – f – c, played twice")
    >>> mention.fact.chords
    ('A:min', 'F:maj', 'C:maj', 'A:min', 'F:maj', 'C:maj')
    """
    if not CHORD.search(sentence):
        return []
    timed = _timed(sentence, lower) if _TIME_HINT.search(lower) else []
    plain = _plain(sentence, lower)
    spans = [mention.span for mention in timed]
    return timed + [mention for mention in plain if not overlaps(mention.span, spans)]


def _plain(sentence: str, lower: str) -> list[Mention]:
    """Lists of symbols near a word for chords, or joined by dashes."""
    out: list[Mention] = []
    for found in CHORD_LIST.finditer(sentence):
        tokens = chord_tokens(sentence, found.start(), found.end())
        if tokens and _states_chords(sentence, lower, found, tokens):
            rounds = _rounds(lower, found) if _REPEAT_HINT.search(lower) else 1
            hartes = [token.chord.harte for token in tokens]
            labels = tuple(harte for harte, _ in groupby(hartes * rounds))
            parts = tuple(note for token in tokens for note in token.notes)
            out.append(Mention(ChordsFact(chords=labels), TextSpan(*found.span()), parts))
    return out


def _states_chords(
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
    return _is_single_chord(sentence, found, before, after)


def _is_single_chord(sentence: str, found: re.Match[str], before: str, after: str) -> bool:
    """Whether one letter or symbol is a chord: by the word after it, or by those before it."""
    is_article = found[0] in ("A", "A flat", "A sharp") and not before.endswith(
        ("the ", "an ")
    )  # "A chord melody is played"
    if _CHORD_AFTER.match(after) and not is_article:
        return True
    if not _BEFORE_SINGLE.search(before):
        return False
    # "the progression is in A minor" names a key, "in Am" a chord, unless the chords are there
    # already: "an Am – F progression in C"
    if not _KEY_LIKE.search(before):
        return True
    return not (_MODE_WORD.search(found[0]) or CHORD.search(sentence, 0, found.start()))


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
    """Chords with the times at which they begin.

    They have no parts, for neither can be moved alone.
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
        span = TextSpan(run[0].span.start, run[-1].span.end)
        if not _HAS_UNIT.search(lower, span.start, span.end) or (
            len(run) == 1 and not (said and _stands_alone(run[0], lists))
        ):
            continue
        chords = tuple(TimedChord(label=one.token.chord.harte, start_s=one.at_s) for one in run)
        out.append(Mention(TimedChordsFact(timed_chords=chords), span))
    return out


def _pairs(pattern: re.Pattern[str], sentence: str, lower: str) -> list[_Timed]:
    out: list[_Timed] = []
    for found in pattern.finditer(sentence):
        tokens = chord_tokens(sentence, *found.span("chord"))
        if tokens:
            at_s = 0.0 if found["at"] == "zero" else read_number(found["at"])
            out.append(_Timed(tokens[0], at_s, TextSpan(*found.span())))
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


def _lists(sentence: str) -> list[TextSpan]:
    """Lists of several chords, in order."""
    spans = (TextSpan(*found.span()) for found in CHORD_LIST.finditer(sentence))
    return [span for span in spans if len(chord_tokens(sentence, *span)) > 1]


def _stands_alone(one: _Timed, lists: list[TextSpan]) -> bool:
    """Whether a lone chord with a time is the whole sequence, and not the last of a list without
    times.
    """
    root = one.token.notes[0].start
    index = bisect_right(lists, root, key=lambda span: span.start) - 1
    return index < 0 or lists[index].end <= root
