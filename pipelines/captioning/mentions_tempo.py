"""Tempo in a sentence: beats per minute, Italian words, plain words."""

import re
from collections.abc import Iterator
from typing import Final

from pipelines.captioning.mention import NUMBER, Mention, Span, read_number, write_number
from pipelines.captioning.tempo_words import ITALIAN
from schemas.caption import FactKind

_MIN_BPM, _MAX_BPM = 15.0, 400.0  # outside, a number beside "tempo" is something else

_UNIT: Final = (
    r"(?:bpms?\b|b\.p\.m\.?|beats?[ -](?:(?:per|a|every|each|the)|(?:to|in|for|of) "
    r"(?:the|a|each|every"
    r"|one))[ -]minute\b|beats?[ -]per[ -]min\b)"
)
_NUMBER_UNIT: Final = re.compile(
    rf"({NUMBER})(?:\s?(?:-|–|to|and)\s?({NUMBER}))?[\s-]*{_UNIT}", re.I
)
_UNIT_NUMBER: Final = re.compile(
    r"\b(?:bpm|beats per minute|tempo(?: mark(?:ing)?)?|metronome(?: mark(?:ing)?)?|pulse|pace)\b"
    r"(?:\s+(?:(?:of|for|in)\s+(?:the|this|that)\s+\w+|is|was|of|at|set|sits|sitting|around|about|to"
    r"|approximately|approx\.|roughly|comes|measures|reads|stays|"
    r"marked|steady|exactly|just|close|near|remains|holds|runs|equals|being|a|constant|estimated|be|would|hovers|hovering"
    r"|clocks in|clocking in"
    r"|an? "
    r"(?:slow|fast|brisk|quick|rapid|moderate|lively|relaxed|gentle|speedy|energetic|calm|driving|leisurely)))*"
    rf"\s*[:=~≈]?\s*({NUMBER})(?!\s?(?:%|percent|semitone|sec|minute|times|tone|step|bars?\b|s\b|x\b"
    rf"|beats?\b(?![ -](?:per|a|every|each)[ -]min))|[\d/:]|-)",
    re.I,
)
_TIMES: Final = re.compile(  # "its pulse beats 92 times a minute"
    rf"\b(?:beats?|pulses?|ticks?|clicks?)\s+(?:at |about |around )?({NUMBER}) times "
    r"(?:per|a|every|each|in a) minute\b",
    re.I,
)
_MARK: Final = re.compile(rf"(?:[♩♪]\.?|\bM\.?M\.?)\s*[=:]\s*({NUMBER})")

_ITALIAN_WORDS: Final = "|".join(
    sorted(
        (word.replace(" ", r"\s+") for word in ITALIAN if word != "grave"), key=len, reverse=True
    )
)
_ITALIAN: Final = re.compile(rf"(?<![\w-])(?<!key )({_ITALIAN_WORDS})(?![\w'’])", re.I)
_GRAVE: Final = re.compile(
    (
        r"\b(?:tempo|pace)(?: marking)?(?: (?:of|for) (?:the|this) \w+)?(?: (?:is|of|at|would "
        r"be|marked"
        r"|reads))*:? (?:an? )?(grave)\b|\b(grave)(?= (?:tempo|pace)\b)"
    ),
    re.I,
)

_HOW: Final = (
    r"(?:(?:very|quite|rather|fairly|pretty|really|relatively|somewhat|slightly|extremely|almost|mostly"
    r"|generally|super|incredibly|more|too|so|kind of|a bit|a|an|in|both)\s+)*"
)
_PLAIN_WORD: Final = (
    r"(?:(?:slow|medium|mid|moderate)[ -]?(?:to|-)[ "
    r"-]?(?:slow|medium|moderate|fast)|(?:medium|moderately|mid)[ -](?:slow|fast)(?:er)?"
    r"|slow(?:er|est)?|fast(?:er|est)?|medium|moderate|mid|brisk(?:er)?|quick(?:er)?|rapid|leisurely|low|high)"
)
_PACED: Final = re.compile(  # "slow and steady tempo", "fast-paced", "at a brisk speed"
    rf"\b({_PLAIN_WORD})(?:,?\s+(?:and |but |yet "
    r")?(?!(?:the|with|a|an|in|of|to|over|song|melody|pitch\w*"
    rf"|quality|volume|key|register|range)\b)[\w-]+){{0,2}}?[\s-]+"
    r"(?:tempos?|tempi|pace|paced|paces|speed|bpm)\b",
    re.I,
)
_TEMPO_IS: Final = re.compile(  # "the tempo is slow", "its pace feels quite fast"
    r"\b(?:tempo|pace|speed|bpm)(?:\s+of\s+(?:the|this|that)\s+[\w-]+)?(?:\s+[\w-]+ly)?(?:\s+(?:that|which))?(?:\s+(?:is|was|feels|stays"
    r"|remains|seems|sounds|gets|becomes|being|at|:))*"
    rf"[\s:]+{_HOW}({_PLAIN_WORD})(?![\w-])(?!\s+(?:pitch|volume|quality|range|notes?))",
    re.I,
)
_MUSIC_IS: Final = re.compile(  # "the song is medium with", "this beat is fast"
    r"\b(?:song|music|piece|track|tune|beat|rhythm|groove|ballad|instrumental|pulse|drumming"
    r"|composition)\s+(?:is|was|feels|stays|remains|sounds|moves|goes)\s+"
    rf"{_HOW}({_PLAIN_WORD})(?![\w-])"
    r"(?!\s+(?:pitch|volume|quality|range|length|motion|in "
    r"(?:pitch|volume|quality)|energy|key|fidelity|to\b"
    r"|on\b|sounding|register|frequency))",
    re.I,
)
_SLOW_SONG: Final = re.compile(  # "a slow pop ballad", "a fast rock beat"
    r"\b((?<!medium to )slow(?:er)?|fast(?:er)?|quick|brisk|rapid|leisurely|moderate|medium)[ -]"
    r"(?:(?!(?:and|with|over|of|in|to|at|a|an|the|for|melody|solo|riff|notes?|motion|pitch(?:ed)?|sized?|range"
    r"|quality|moving|evolving|rising|build\w*|attack)\b)[\w'&/-]+ ){0,2}?"
    r"(?:songs?|ballads?|piece|tracks?|tune|waltz|number|march|jam|music|instrumental|groove|beats?|rhythms?"
    r"|rock|blues|pop|techno|metal|folk|country|jazz|reggae|house|composition|dance|pulse|drumming)"
    r"(?![\w-])",
    re.I,
)
_FIXED: Final = re.compile(r"\b(up|mid|down)[ -]?tempo\b", re.I)
_NOT: Final = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bneither|\bnor|\bwithout|\bno)\s+(?:\w+\s+){0,2}$", re.I
)


def tempo_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Tempo claims of one sentence; `lower` is the sentence in lower case."""
    if (
        "bpm" in lower
        or "minute" in lower
        or "tempo" in lower
        or "pace" in lower
        or "pulse" in lower
        or "metronome" in lower
        or "b.p.m" in lower
        or "=" in lower
    ):
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
                    part = Span(found.start(group), found.end(group))
                    yield Mention(
                        FactKind.BPM,
                        write_number(number),
                        Span(found.start(), found.end()),
                        (part,),
                    )


def _italian(sentence: str, lower: str) -> Iterator[Mention]:
    for pattern in (_ITALIAN, _GRAVE) if "grave" in lower else (_ITALIAN,):
        for found in pattern.finditer(sentence):
            word = " ".join((found[1] or found[2]).lower().split())
            yield Mention(FactKind.TEMPO_WORD, word, Span(found.start(), found.end()))


_PLAIN_HINT: Final = re.compile(
    r"slow|fast|m(?:edium|oderate|id)|brisk|quick|rapid|leisurely|tempo|pace|speed|bpm"
)


def _plain(sentence: str, lower: str) -> Iterator[Mention]:
    if not _PLAIN_HINT.search(lower):
        return
    patterns = [_MUSIC_IS, _SLOW_SONG]
    if "tempo" in lower or "pace" in lower or "speed" in lower or "bpm" in lower:
        patterns += [_PACED, _TEMPO_IS]
    taken: list[Span] = []
    for found in _FIXED.finditer(sentence):
        taken.append(Span(found.start(), found.end()))
        yield Mention(FactKind.TEMPO_WORD, f"{found[1].lower()}-tempo", taken[-1])
    for pattern in patterns:
        for found in pattern.finditer(sentence):
            span = Span(*found.span(1))
            word = _plain_word(found[1].lower())
            if any(
                span.start < other.end and other.start < span.end for other in taken
            ) or _NOT.search(sentence, 0, span.start):
                continue
            if found[1].lower() in ("low", "high", "mid") and pattern not in (_PACED, _TEMPO_IS):
                continue
            taken.append(span)
            yield Mention(FactKind.TEMPO_WORD, word, span)


def _plain_word(word: str) -> str:
    """A plain word in its basic form: "slower" is slow, "moderately fast" and "medium to fast" are
    medium fast.
    """
    words = [part for part in re.split(r"[ -]+", word) if part != "to"]
    if len(words) == 2:
        ends = {part.removesuffix("er") for part in words}
        return "medium fast" if "fast" in ends else "medium slow" if "slow" in ends else "medium"
    plain = re.sub(r"(?<=slow|fast|risk|uick)e(?:r|st)$", "", word)
    return {"low": "slow", "high": "fast", "mid": "medium"}.get(plain, plain)
