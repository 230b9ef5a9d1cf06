"""Tempo in a sentence: beats per minute, Italian words, plain words."""

import re
from collections.abc import Iterator
from typing import Final

from pipelines.captioning.mention import (
    NUMBER,
    Mention,
    TextSpan,
    alternatives,
    any_of,
    overlaps,
    read_number,
    verbose,
)
from pipelines.captioning.tempo_words import ITALIAN
from schemas.fact import BpmFact, TempoWordFact

_MIN_BPM, _MAX_BPM = 15.0, 400.0  # outside, a number beside "tempo" is something else

_BPM_HINTS: Final = ("bpm", "minute", "tempo", "pace", "pulse", "metronome", "b.p.m", "=")
# "bpm", "beats per minute", "beats to the minute"
_UNIT: Final = r"""(?: bpms?\b | b\.p\.m\.?
    | beats?[ -] (?: (?:per|a|every|each|the) | (?:to|in|for|of) [ ] (?:the|a|each|every|one) )
      [ -]minute\b
    | beats?[ -]per[ -]min\b )"""
# "120 BPM", "90-100 beats per minute"
_NUMBER_UNIT: Final = verbose(
    rf"({NUMBER}) (?: \s? (?:-|–|to|and) \s? ({NUMBER}) )? [\s-]* {_UNIT}", ignore_case=True
)
_IS_AT: Final = alternatives(  # what may stand between "tempo" and its number
    "is was of at set sits sitting around about to approximately approx\\. roughly comes measures"
    " reads stays marked steady exactly"
    " just close near remains holds runs equals being a constant estimated be would hovers"
    " hovering clocks_in clocking_in"
    " "
    "an?_(?:slow|fast|brisk|quick|rapid|moderate|lively|relaxed|gentle|speedy|energetic|calm|driving|leisurely)"
)
# "the tempo is set to 118", "BPM: 90", but not "a tempo of 3 bars"
_UNIT_NUMBER: Final = verbose(
    rf"""\b (?: bpm | beats[ ]per[ ]minute | tempo(?:[ ]mark(?:ing)?)? |
      metronome(?:[ ]mark(?:ing)?)? | pulse | pace ) \b
    (?: \s+ (?: (?:of|for|in) \s+ (?:the|this|that) \s+ \w+ | {_IS_AT} ) )*
    \s* [:=~≈]? \s* ({NUMBER}) (?! \s?
      (?: % | percent | semitone | sec | minute | times | tone | step | bars?\b | s\b | x\b
      | beats?\b (?! [ -](?:per|a|every|each)[ -]min ) )
    | [\d/:] | - )""",
    ignore_case=True,
)
# "its pulse beats 92 times a minute"
_TIMES: Final = verbose(
    rf"""\b {any_of("beats? pulses? ticks? clicks?")} \s+ (?:at[ ]|about[ ]|around[ ])? ({NUMBER})
    [ ]times[ ] (?:per|a|every|each|in[ ]a) [ ]minute\b""",
    ignore_case=True,
)
# "♩ = 92", "M.M. = 92"
_MARK: Final = verbose(rf"(?: [♩♪]\.? | \bM\.?M\.? ) \s* [=:] \s* ({NUMBER})")

_ITALIAN_WORDS: Final = "|".join(
    sorted(
        (word.replace(" ", r"\s+") for word in ITALIAN if word != "grave"), key=len, reverse=True
    )
)
_ITALIAN: Final = re.compile(rf"(?<![\w-])(?<!key )({_ITALIAN_WORDS})(?![\w'’])", re.I)
# "the tempo is grave", "a grave pace": alone it is an adjective
_GRAVE: Final = verbose(
    r"""\b (?:tempo|pace) (?:[ ]marking)? (?: [ ](?:of|for)[ ](?:the|this)[ ]\w+ )?
      (?: [ ](?:is|of|at|would[ ]be|marked|reads) )* :? [ ] (?:an?[ ])? (grave)\b
    | \b (grave) (?= [ ](?:tempo|pace)\b )""",
    ignore_case=True,
)

_HOW: Final = any_of(  # fast
    "very quite rather fairly pretty really relatively somewhat slightly extremely almost mostly"
    " generally super incredibly more too so"
    " kind_of a_bit a an in both"
)
_PLAIN_WORD: Final = r"""(?: (?:slow|medium|mid|moderate) [ -]? (?:to|-) [ -]?
      (?:slow|medium|moderate|fast)
    | (?:medium|moderately|mid) [ -] (?:slow|fast)(?:er)?
    | slow(?:er|est)? | fast(?:er|est)? | medium | moderate | mid | brisk(?:er)? | quick(?:er)? |
      rapid | leisurely | low | high )"""
_NOT_BETWEEN: Final = any_of(
    "the with a an in of to over song melody pitch\\w* quality volume key register range"
)
# "slow and steady tempo", "fast-paced", "at a brisk speed"
_PACED: Final = verbose(
    rf"""\b ({_PLAIN_WORD}) (?: ,?\s+ (?:and[ ]|but[ ]|yet[ ])? (?!{_NOT_BETWEEN}\b) [\w-]+
      ){{0,2}}? [\s-]+
    {any_of("tempos? tempi pace paced paces speed bpm")}\b""",
    ignore_case=True,
)
# "the tempo is slow", "its pace feels quite fast"
_TEMPO_IS: Final = verbose(
    rf"""\b (?:tempo|pace|speed|bpm) (?: \s+of\s+(?:the|this|that)\s+[\w-]+ )? (?:\s+[\w-]+ly)?
      (?:\s+(?:that|which))?
    (?: \s+ {any_of("is was feels stays remains seems sounds gets becomes being at :")} )*
    [\s:]+ (?:{_HOW}\s+)* ({_PLAIN_WORD}) (?![\w-]) (?! \s+
      {any_of("pitch volume quality range notes?")} )""",
    ignore_case=True,
)
_NOT_A_TEMPO: Final = any_of(  # "the song is medium in length"
    "pitch volume quality range length motion in_(?:pitch|volume|quality) energy key fidelity "
    "to\\b on\\b sounding register frequency"
)
_MUSIC: Final = (
    "song music piece track tune beat rhythm groove ballad instrumental pulse drumming composition"
)
# "the song is medium with", "this beat is fast"
_MUSIC_IS: Final = verbose(
    rf"""\b {any_of(_MUSIC)} \s+
    {any_of("is was feels stays remains sounds moves goes")} \s+
    (?:{_HOW}\s+)* ({_PLAIN_WORD}) (?![\w-]) (?! \s+ {_NOT_A_TEMPO} )""",
    ignore_case=True,
)
_NO_STYLE: Final = any_of(  # what is slow is then something else: "a slow melody over a rock beat"
    "and with over of in to at a an the for melody solo riff notes? motion pitch(?:ed)? sized?"
    " range quality"
    " moving evolving rising build\\w* attack"
)
_KIND_OF_MUSIC: Final = any_of(
    "songs? ballads? piece tracks? tune waltz number march jam music instrumental groove beats?"
    " rhythms?"
    " rock blues pop techno metal folk country jazz reggae house composition dance pulse drumming"
)
# "a slow pop ballad", "a fast rock beat"
_SLOW_SONG: Final = verbose(
    rf"""\b ( (?<!medium[ ]to[ ]) slow(?:er)? | fast(?:er)? | quick | brisk | rapid | leisurely |
      moderate | medium ) [ -]
    (?: (?!{_NO_STYLE}\b) [\w'&/-]+ [ ] ){{0,2}}? {_KIND_OF_MUSIC} (?![\w-])""",
    ignore_case=True,
)
_FIXED: Final = re.compile(r"\b(up|mid|down)[ -]?tempo\b", re.I)  # "an up-tempo tune"
_NOT: Final = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bneither|\bnor|\bwithout|\bno)\s+(?:\w+\s+){0,2}$", re.I
)


def tempo_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Tempo claims of one sentence; `lower` is the sentence in lower case."""
    if any(hint in lower for hint in _BPM_HINTS):
        yield from _bpm(sentence)
    yield from _italian(sentence, lower)
    yield from _plain(sentence, lower)


def _bpm(sentence: str) -> Iterator[Mention]:
    taken: set[int] = set()
    for pattern in (_NUMBER_UNIT, _UNIT_NUMBER, _TIMES, _MARK):
        for found in pattern.finditer(sentence):
            for group in range(1, pattern.groups + 1):
                if found[group] is None or found.start(group) in taken:
                    continue
                number = read_number(found[group])
                if _MIN_BPM <= number <= _MAX_BPM:
                    taken.add(found.start(group))
                    part = TextSpan(found.start(group), found.end(group))
                    yield Mention(
                        BpmFact(bpm=number), TextSpan(found.start(), found.end()), (part,)
                    )


def _italian(sentence: str, lower: str) -> Iterator[Mention]:
    for pattern in (_ITALIAN, _GRAVE) if "grave" in lower else (_ITALIAN,):
        for found in pattern.finditer(sentence):
            word = " ".join((found[1] or found[2]).lower().split())
            yield Mention(TempoWordFact(word=word), TextSpan(found.start(), found.end()))


_TEMPO_NOUNS: Final = ("tempo", "pace", "speed", "bpm")
_OF_TEMPO_ALONE: Final = ("low", "high", "mid")  # of anything else they mean something else
_PLAIN_HINT: Final = re.compile(
    r"slow|fast|m(?:edium|oderate|id)|brisk|quick|rapid|leisurely|tempo|pace|speed|bpm"
)


def _plain(sentence: str, lower: str) -> Iterator[Mention]:
    if not _PLAIN_HINT.search(lower):
        return
    patterns = [_MUSIC_IS, _SLOW_SONG]
    if any(word in lower for word in _TEMPO_NOUNS):
        patterns += [_PACED, _TEMPO_IS]
    taken: list[TextSpan] = []
    for found in _FIXED.finditer(sentence):
        taken.append(TextSpan(found.start(), found.end()))
        yield Mention(TempoWordFact(word=f"{found[1].lower()}-tempo"), taken[-1])
    for pattern in patterns:
        for found in pattern.finditer(sentence):
            span, word = TextSpan(*found.span(1)), found[1].lower()
            if overlaps(span, taken) or _NOT.search(sentence, 0, span.start):
                continue
            if word in _OF_TEMPO_ALONE and pattern not in (_PACED, _TEMPO_IS):
                continue
            taken.append(span)
            yield Mention(TempoWordFact(word=_plain_word(word)), span)


def _plain_word(word: str) -> str:
    """A plain word in its basic form: "slower" is slow, "moderately fast" and "medium to fast" are
    medium fast.
    """
    words = [part for part in re.split(r"[ -]+", word) if part != "to"]
    if len(words) == 2:
        ends = {part.removesuffix("er") for part in words}
        if "fast" in ends:
            return "medium fast"
        return "medium slow" if "slow" in ends else "medium"
    plain = re.sub(r"(?<=slow|fast|risk|uick)e(?:r|st)$", "", word)
    return {"low": "slow", "high": "fast", "mid": "medium"}.get(plain, plain)
