"""Meter, dynamics and explicit times in a sentence."""

import re
from collections.abc import Iterator
from typing import Final

from pipelines.captioning.mention import FIGURE, SPELLED, Mention, Span, read_number, write_number
from schemas.caption import FactKind

_COUNT: Final = r"(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[2-9]|1[0-5])"
_COUNT_END: Final = r"(?![\w/:]|[.,]\d|\s*(?:-|–)\s*\d)"
_BAR: Final = r"(?:bars?|measures?)"
_STEADY: Final = r"(?:steady|simple|regular|constant|consistent|basic|straight|strict|even)"
_NOT_LENGTH: Final = (
    r"(?!\s*(?:bpm|beats "
    r"per|minutes|times|seconds|different|layers|simple|drums?|notes|instruments|or\b))"
)

_SIGNATURE: Final = re.compile(
    (
        r"(?<![\d/.,])([2-9]|1[0-5])\s?/\s?(2|4|8|16)(?![\d/])(?!(?:ths?|rds?|nds?)?\s*(?:of\b(?! "
        r"(?:time|meter"
        r"|metre))|length|size|notes?\b|way\b|inch|full|done))"
    ),
    re.I,
)
_METERS: Final = tuple(
    re.compile(pattern, re.I)
    for pattern in (
        # "three-four time", "four over four"
        (
            rf"\b{_COUNT}(?:[ -](?:over|by|upon)[ -](?:two|four|eight|sixteen|[248])\b|[ "
            r"-](?:two|four|eight|sixteen"
            rf"|quarter|[248])[ -](?:time|meter|metre|feel|signature|groove|rhythm)\b)"
        ),
        # "three beats to the bar", "four counts per measure"
        (
            rf"\b{_COUNT}[ -](?:beats?|counts?|pulses)[ -](?:(?:to|in|per|a|for|of|on|within)[ "
            r"-])?(?:(?:the|a|an|each"
            rf"|every|one)[ -])?{_BAR}\b"
        ),
        (
            rf"\b{_COUNT}[ -](?:beats?|counts?)[ -](?:make|makes|fill|fills)(?: up)? "
            rf"(?:the|a|each|every) {_BAR}\b"
        ),
        rf"\b{_COUNT} (?:to|in) (?:the|a|each|every) {_BAR}\b",
        (
            rf"\b(?:each|every|the|a|its) {_BAR} "
            r"(?:has|have|holds?|counts?|contains?|is|are|lasts?|of|gets?"
            rf"|takes?)(?: made of| made up of| built from)? {_COUNT}(?: beats?| counts?)\b"
        ),
        rf"\bbars? (?:of|are) {_COUNT} beats?\b",
        rf"\bbeats? (?:\w+ ){{0,3}}groups? of {_COUNT}{_COUNT_END}",
        # "the meter is a lilting six-eight"
        rf"\b(?:meter|metre|signature)(?: \w+){{1,4}} {_COUNT}[ -](?:two|four|eight)\b",
        # "time signature counts 3", "in a meter of five"
        (
            r"\b(?:time signature|meter|metre)(?: of (?:the|this|that) \w+)?(?:,? "
            r"(?:is|counts?|of|has|shows|in|to|at"
            rf"|being))*:? {_COUNT}{_COUNT_END}(?!\s*/)"
        ),
        # "the song moves in three"
        rf"\b(?:is|are|it's|moves?|moving|counted|counts?|felt|feels?|played|runs?|written|goes|set|swings?"
        rf"|waltz\w*)(?: \w+ly)? in {_COUNT}"
        r"(?=\s*(?:$|[.;!)]|,(?! ?\w+ (?:and|or) )|throughout\b|[ -]time\b))",
        rf"\bin {_COUNT}[ -]time\b",
        # "a beat of 4", "a beat count of three", "a count of 2 beats", "beats of four"
        rf"\b(?:beat|count|beat[ -]counts?|counts? beats?) of {_COUNT}{_COUNT_END}{_NOT_LENGTH}",
        # "a four-count beat", "a steady 4-beat rhythm", "has a 4 beat", "3-beat counts"
        rf"\b(?:{_STEADY} )*{_COUNT}[ -](?:count beats?|beat counts?"
        r"|beat (?:rhythm|groove|meter|metre|pattern|pulse|feel|time)|count "
        r"(?:rhythm|pulse|feel))\b",
        rf"\b(?:a|an|the|its|{_STEADY}) {_COUNT}[ -](?:beat|count)\b(?! (?:loop|fill"
        r"|intro|break|pause|rest|pick|phrase|delay|gap|figure|motif|riff))",
        # "the beat follows a simple count to 4", "a beat counting to three", "the beat is set to
        # 3", "steady at 4", "is a steady 4"
        r"\bbeats?(?: of (?:the|this|that) \w+)?(?:,? "
        r"(?:that|which|is|are|stays|keeps|remains|follows"
        r"|counts?|counting|set|at|to|in|up|an?"
        rf"|simple|count|steady|held))+ {_COUNT}{_COUNT_END}{_NOT_LENGTH}",
    )
)
_NAMED: Final = re.compile(
    (
        r"\b(waltz\w*|common time|cut time|cut common|alla "
        r"breve|(?:duple|triple|quadruple|quintuple)[ -](?:time"
        r"|meter|metre|beat|feel|rhythm|pulse))\b"
    ),
    re.I,
)
_NAMED_COUNT: Final = {"w": 3, "co": 4, "cu": 2, "al": 2, "d": 2, "t": 3, "quad": 4, "quin": 5}
_COUNT_HINT: Final = re.compile(rf"\b{_COUNT}(?![\d/])")
_METER_HINT: Final = re.compile(
    r"/|over|upon|beat|bar|measure|meter|metre|signature|waltz|common time|cut "
    r"|breve|(?:ple|four|eight)[ -]"
    r"| in (?:[2-9]|t[wh]|fo|fi|si|se)"
)

_VOLUME: Final = r"(?:volume|loudness|dynamics?|level)"
_UP: Final = re.compile(
    r"\bcrescend\w*|\blouder and louder\b"
    r"|\b(?:gets?|got|getting|gr[eo]ws?|growing|grown|becom\w+|became|turns?|turning|progressively|gradually"
    r"|steadily|slowly|increasingly)\s+(?:\w+\s+){0,2}?louder\b"
    r"|\bfad(?:e|es|ed|ing)?[ -]?in(?:s|\b)(?! and out)"
    rf"|\b{_VOLUME}\s+(?:(?!and|but|low|high|knob)[\w-]+\s+){{0,4}}?(?:ris(?:es?|ing)|rose|increas\w+|goes "
    r"up"
    rf"|going up|swells?|swelling|builds?|grows?|growing|climbs?|climbing|turned up)\b"
    rf"|\b(?:increas\w*|rais(?:e|es|ing)|ris(?:e|es|ing)|build(?:s|ing)?|grow(?:s|ing)?|gain(?:s|ing)?"
    rf"|climb(?:s|ing)?)(?: up)?(?: \w+)?(?: (?:in|the|its))?(?: \w+)? {_VOLUME}\b"
    r"|(?<!a )(?<!string )(?<!pad )(?<!synth )\bswell(?:s|ing|ed)\b(?= up\b| into\b| from\b| "
    r"till\b| until\b"
    r"| to\b| toward| gradually\b| slowly\b|[.,;]|$)"
    r"|\b(?:slowly|gradually|volume|it|music|song|sound) swells?\b(?! with\b)"
    r"|\bfrom (?:very )?(?:quiet|soft|silent|silence|a whisper)\w* (?:to|into) (?:very "
    r")?(?:loud|full)\w*"
    r"|\bstart(?:s|ing)? (?:off |out )?(?:soft|quiet)\w* (?:and|but|then) ends? (?:\w+ )?loud\w*"
)
_DOWN: Final = re.compile(
    r"\b(?:decrescend|diminuend)\w*|\b(?:softer and softer|quieter and quieter)\b"
    r"|\b(?:gets?|got|getting|gr[eo]ws?|growing|grown|becom\w+|became|turns?|turning|progressively|gradually"
    r"|steadily|slowly|increasingly)\s+(?:\w+\s+){0,2}?(?:softer|quieter|fainter)\b"
    r"|\bfad(?:e|es|ing)\b(?![ -]in\b)(?! into\b)(?! between\b)|\bfade[ -]?outs?\b|\bfaded "
    r"(?:out|away)\b"
    rf"|\b{_VOLUME}\s+(?:(?!and|but|low|high|knob)[\w-]+\s+){{0,4}}?(?:drop(?:s|ping)?|decreas\w+|falls?"
    r"|falling|goes down|going "
    r"down|lowers?|lowering|lowered|sinks?|sinking|dwindl\w+|diminish\w*|dialed down|turned "
    r"down)\b"
    rf"|\b(?:decreas\w*|lower(?:s|ing)?|reduc\w+|drop(?:s|ping)?|los(?:e|es|ing)|fall(?:s|ing)?|sink(?:s|ing)?"
    rf"|diminish\w*)(?: \w+)?(?: (?:in|the|its))?(?: \w+)? {_VOLUME}\b"
    r"|\b(?:dies|dying|dwindl\w+|trails|tapers) (?:away|down|off|out)\b"
    r"|\bfrom (?:very )?(?:loud|full)\w* (?:to|into) (?:very "
    r")?(?:quiet|soft|silen|nothing)\w*|\bstart(?:s"
    r"|ing)? (?:off |out )?loud\w* (?:and|but|then) ends? (?:\w+ )?(?:soft|quiet)\w*"
)
_DYNAMICS_HINT: Final = re.compile(
    r"scend|louder|softer|quieter|fainter|fad|volume|loudness|dynamic|level|swell|from "
    r"|start|diminuend|dwindl|dies|dying|trails|tapers"
)

_DIGIT: Final = re.compile(r"\d")
_SECONDS: Final = re.compile(
    rf"(?:(?<![\w.,:/#-])({FIGURE})(?![\d/:])|\b({SPELLED}))(?:[ -]?(?:seconds|secs?\b\.?)(?! "
    r"(?:long|in length"
    r"|of length|in duration|clip|loop|each))|[ -]second(?:[ -](?:mark|point|in(?! length| "
    r"duration))\b| into\b))"
    r"|(?<![\w.,:/#-])(1|1\.0) second(?! (?:long|in length|of length|in "
    r"duration|clip|loop|each|half|part|verse))"
    rf"|\b(?:at|after|from|until|till|by|around|to) ({FIGURE})s\b(?! "
    r"(?:style|music|pop|rock|era|vibe))",
    re.I,
)
_MINUTES: Final = re.compile(
    rf"\b({FIGURE}|{SPELLED})[ -]minutes?(?:,? (?:and )?({FIGURE}|{SPELLED})[ -]seconds?|[ "
    r"-](?:mark|point|in)\b)",
    re.I,
)
_CLOCK: Final = re.compile(
    r"(?<![\w:/.])(\d{1,2}:[0-5]\d(?:\.\d+)?)(?![\d:])(?!\s?[ap]\.?m\b)", re.I
)


def meter_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Meter claims: the value counts the beats of a bar, 6 for 6/8, 3 for a waltz."""
    if not _METER_HINT.search(lower):
        return
    for found in _SIGNATURE.finditer(lower):
        yield Mention(FactKind.METER, found[1], Span(*found.span()))
    for found in _NAMED.finditer(lower):
        count = next(count for start, count in _NAMED_COUNT.items() if found[1].startswith(start))
        yield Mention(FactKind.METER, str(count), Span(*found.span()))
    if not _COUNT_HINT.search(lower):
        return
    for pattern in _METERS:
        for found in pattern.finditer(lower):
            yield Mention(FactKind.METER, write_number(read_number(found[1])), Span(*found.span()))


def dynamics_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Claims that the music, or a part of it, gets louder or softer."""
    if not _DYNAMICS_HINT.search(lower):
        return
    for value, pattern in (("crescendo", _UP), ("decrescendo", _DOWN)):
        for found in pattern.finditer(lower):
            yield Mention(FactKind.DYNAMICS, value, Span(*found.span()))


def time_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Times that the text names, in seconds from its start, and lengths within it; the length of
    the whole clip is none.
    """
    minutes = list(_MINUTES.finditer(lower)) if "minute" in lower else []
    for found in minutes:
        seconds = 60 * read_number(found[1]) + (read_number(found[2]) if found[2] else 0)
        yield Mention(FactKind.TIME, write_number(seconds), Span(*found.span()))
    if "sec" in lower or ("s " in lower and _DIGIT.search(lower)):
        for found in _SECONDS.finditer(lower):
            group = next(group for group in range(1, 5) if found[group] is not None)
            number = read_number(found[group])
            is_decade = group == 4 and number >= 20 and number % 10 == 0  # "from 80s"
            if not is_decade and not any(
                other.start() <= found.start() < other.end() for other in minutes
            ):
                part = Span(*found.span(group))
                yield Mention(FactKind.TIME, write_number(number), Span(*found.span()), (part,))
    if ":" in lower:
        for found in _CLOCK.finditer(lower):
            whole, rest = found[1].split(":")
            part = Span(*found.span(1))
            yield Mention(FactKind.TIME, write_number(60 * int(whole) + float(rest)), part, (part,))
