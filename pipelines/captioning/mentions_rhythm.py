"""Meter, dynamics and explicit times in a sentence."""

import re
from collections.abc import Iterator
from typing import Final

from pipelines.captioning.mention import (
    FIGURE,
    SPELLED,
    Mention,
    TextSpan,
    any_of,
    read_number,
    verbose,
)
from schemas.fact import Dynamics, DynamicsFact, MeterFact, TimeFact

_COUNT: Final = r"(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[2-9]|1[0-5])"
_COUNT_END: Final = r"(?![\w/:]|[.,]\d|\s*(?:-|–)\s*\d)"  # "4.5", "4-6" and "4/4" are other numbers
_LOWER_FIGURE: Final = any_of("two four eight sixteen [248]")
_BAR: Final = any_of("bars? measures?")
_EACH: Final = any_of("the a each every")
_THAT: Final = any_of("the this that")
_METER: Final = any_of("meter metre signature")
_BEAT_IS: Final = (
    "that which is are stays keeps remains follows counts? counting set at to in up an? simple "
    "count steady held"
)
_STEADY: Final = any_of("steady simple regular constant consistent basic straight strict even")
_NOT_COUNTED: Final = any_of(
    "bpm beats_per minutes times seconds different layers simple drums? notes instruments or\\b"
)
_NOT_LENGTH: Final = rf"(?!\s*{_NOT_COUNTED})"  # "beats of 4 minutes" are none of a bar
_GOES: Final = any_of(
    "is are it's moves? moving counted counts? felt feels? played runs? written goes set swings? "
    "waltz\\w*"
)

# "3/4", "6 / 8 time"; neither "1/4 of the song", "3/4 length" nor a date.
_SIGNATURE: Final = verbose(
    r"""
    (?<![\d/.,]) ([2-9]|1[0-5]) \s?/\s? (2|4|8|16) (?![\d/])
    (?! (?:ths?|rds?|nds?)? \s* (?: of\b (?![ ](?:time|meter|metre)) |
      length|size|notes?\b|way\b|inch|full|done) )
    """,
    ignore_case=True,
)
_COUNTED_OTHERWISE: Final = (
    "loop fill intro break pause rest pick phrase delay gap figure motif riff"
)
_METERS: Final = tuple(
    verbose(pattern, ignore_case=True)
    for pattern in (
        # "three-four time", "four over four"
        rf"""\b {_COUNT} (?: [ -](?:over|by|upon)[ -] {_LOWER_FIGURE}\b
            | [ -] {any_of("two four eight sixteen quarter [248]")} [ -]
              {any_of("time meter metre feel signature groove rhythm")}\b )""",
        # "three beats to the bar", "four counts per measure"
        rf"""\b {_COUNT} [ -] {any_of("beats? counts? pulses")} [ -]
            (?: {any_of("to in per a for of on within")} [ -] )? (?:
              {any_of("the a an each every one")} [ -] )? {_BAR}\b""",
        # "four beats make up each bar"
        (
            rf"\b {_COUNT} [ -] {any_of('beats? counts?')} [ -] {any_of('make makes fill fills')} "
            rf"(?:[ ]up)? [ ]{_EACH}[ ]{_BAR}\b"
        ),
        # "counts three to the bar"
        rf"\b {_COUNT} [ ](?:to|in)[ ] {_EACH}[ ]{_BAR}\b",
        # "each bar has four beats"
        rf"""\b {any_of("each every the a its")} [ ]{_BAR}[ ]
            {any_of("has have holds? counts? contains? is are lasts? of gets? takes?")}
            (?: [ ]made[ ]of | [ ]made[ ]up[ ]of | [ ]built[ ]from )? [ ]{_COUNT}
              (?:[ ]beats?|[ ]counts?)\b""",
        # "bars of three beats"
        rf"\b bars? [ ](?:of|are)[ ] {_COUNT} [ ]beats?\b",
        # "the beats come in groups of three"
        rf"\b beats? [ ](?:\w+[ ]){{0,3}} groups? [ ]of[ ] {_COUNT}{_COUNT_END}",
        # "the meter is a lilting six-eight"
        rf"\b {_METER} (?:[ ]\w+){{1,4}} [ ]{_COUNT} [ -] (?:two|four|eight)\b",
        # "time signature counts 3", "in a meter of five"
        rf"""\b {any_of("time_signature meter metre")} (?:[ ]of[ ]{_THAT}[ ]\w+)?
            (?: ,?[ ] {any_of("is counts? of has shows in to at being")} )* :?[ ]
              {_COUNT}{_COUNT_END} (?!\s*/)""",
        # "the song moves in three"
        rf"""\b {_GOES} (?:[ ]\w+ly)? [ ]in[ ] {_COUNT}
            (?= \s* (?: $ | [.;!)] | ,(?![ ]?\w+[ ](?:and|or)[ ]) | throughout\b | [ -]time\b) )""",
        # "in 3 time"
        rf"\b in[ ] {_COUNT} [ -]time\b",
        # "a beat of 4", "a beat count of three", "a count of 2 beats", "beats of four"
        (
            r"\b (?:beat|count|beat[ -]counts?|counts?[ ]beats?) [ ]of[ ] "
            rf"{_COUNT}{_COUNT_END}{_NOT_LENGTH}"
        ),
        # "a four-count beat", "a steady 4-beat rhythm", "3-beat counts"
        rf"""\b (?:{_STEADY}[ ])* {_COUNT} [ -]
            (?: count[ ]beats? | beat[ ]counts?
            | beat[ ]{any_of("rhythm groove meter metre pattern pulse feel time")} |
              count[ ]{any_of("rhythm pulse feel")} )\b""",
        # "has a 4 beat", but not "a 4 beat loop"
        rf"""\b (?:a|an|the|its|{_STEADY}) [ ]{_COUNT} [ -] (?:beat|count)\b
            (?! [ ]{any_of(_COUNTED_OTHERWISE)} )""",
        # "the beat follows a simple count to 4", "a beat counting to three", "the beat is set to
        # 3", "steady at 4", "is a steady 4"
        rf"""\b beats? (?:[ ]of[ ]{_THAT}[ ]\w+)?
            (?: ,?[ ] {any_of(_BEAT_IS)} )+ [ ]{_COUNT}{_COUNT_END}{_NOT_LENGTH}""",
    )
)
# "a waltz", "in common time", "a triple meter"
_NAMED: Final = verbose(
    rf"""\b ( waltz\w* | common[ ]time | cut[ ]time | cut[ ]common | alla[ ]breve
    | {any_of("duple triple quadruple quintuple")} [ -]
      {any_of("time meter metre beat feel rhythm pulse")} )\b""",
    ignore_case=True,
)
_NAMED_COUNT: Final = {"w": 3, "co": 4, "cu": 2, "al": 2, "d": 2, "t": 3, "quad": 4, "quin": 5}
_COUNT_HINT: Final = re.compile(rf"\b{_COUNT}(?![\d/])")
_METER_HINT: Final = verbose(
    r"""/|over|upon|beat|bar|measure|meter|metre|signature|waltz|common[ ]time|cut[ ]|breve
    | (?:ple|four|eight)[ -]
    | [ ]in[ ](?:[2-9]|t[wh]|fo|fi|si|se)"""
)

_VOLUME: Final = any_of("volume loudness dynamics? level")
_BECOMES: Final = any_of(
    "gets? got getting gr[eo]ws? growing grown becom\\w+ became turns? turning progressively "
    "gradually steadily slowly increasingly"
)
_BETWEEN: Final = (
    r"\s+ (?: (?!and|but|low|high|knob) [\w-]+\s+ ){0,4}?"  # "the volume of the drums slowly rises"
)
_ITS: Final = r"(?:[ ]\w+)? (?:[ ](?:in|the|its))? (?:[ ]\w+)? [ ]"  # "rises slowly in volume"
_DIES: Final = any_of("dies dying dwindl\\w+ trails tapers")
_QUIET: Final = r"(?:very[ ])? (?:quiet|soft|silent|silence|a[ ]whisper)\w*"
_RISES: Final = (
    "ris(?:es?|ing) rose increas\\w+ goes_up going_up swells? swelling builds? grows? growing "
    "climbs? climbing turned_up"
)
_FALLS: Final = (
    "drop(?:s|ping)? decreas\\w+ falls? falling goes_down going_down lowers? lowering lowered"
    " sinks? sinking dwindl\\w+ diminish\\w* dialed_down turned_down"
)
_RISING: Final = (
    "increas\\w* rais(?:e|es|ing) ris(?:e|es|ing) build(?:s|ing)? grow(?:s|ing)? gain(?:s|ing)? "
    "climb(?:s|ing)?"
)
_FALLING: Final = (
    "decreas\\w* lower(?:s|ing)? reduc\\w+ drop(?:s|ping)? los(?:e|es|ing) fall(?:s|ing)? "
    "sink(?:s|ing)? diminish\\w*"
)
_UP: Final = verbose(
    rf"""
    \b crescend\w*
    | \b louder[ ]and[ ]louder \b
    | \b {_BECOMES} \s+ (?:\w+\s+){{0,2}}? louder \b  # "it gets a bit louder"
    | \b fad(?:e|es|ed|ing)? [ -]?in (?:s|\b) (?![ ]and[ ]out)
    | \b {_VOLUME} {_BETWEEN} {any_of(_RISES)} \b
    | \b {any_of(_RISING)} (?:[ ]up)? {_ITS} {_VOLUME} \b
    # "the strings swell.", "swelling to a climax"; a swell of a pad is a sound
    | (?<!a[ ]) (?<!string[ ]) (?<!pad[ ]) (?<!synth[ ]) \b swell(?:s|ing|ed) \b
      (?= [ ]up\b | [ ]into\b | [ ]from\b | [ ]till\b | [ ]until\b | [ ]to\b | [ ]toward |
        [ ]gradually\b | [ ]slowly\b | [.,;] | $ )
    | \b {any_of("slowly gradually volume it music song sound")} [ ]swells? \b (?![ ]with\b)
    | \b from[ ] {_QUIET} [ ](?:to|into)[ ] (?:very[ ])? (?:loud|full)\w*
    | \b start(?:s|ing)? [ ](?:off[ ]|out[ ])? (?:soft|quiet)\w* [ ](?:and|but|then) [ ]ends?[ ]
      (?:\w+[ ])? loud\w*
    """
)
_DOWN: Final = verbose(
    rf"""
    \b (?:decrescend|diminuend)\w*
    | \b (?:softer[ ]and[ ]softer|quieter[ ]and[ ]quieter) \b
    | \b {_BECOMES} \s+ (?:\w+\s+){{0,2}}? (?:softer|quieter|fainter) \b
    # "it fades", but not "fading in", "fades into", "fades between"
    | \b fad(?:e|es|ing) \b (?![ -]in\b) (?![ ]into\b) (?![ ]between\b)
    | \b fade[ -]?outs? \b
    | \b faded[ ](?:out|away) \b
    | \b {_VOLUME} {_BETWEEN} {any_of(_FALLS)} \b
    | \b {any_of(_FALLING)} {_ITS} {_VOLUME} \b
    | \b {_DIES} [ ] (?:away|down|off|out) \b
    | \b from[ ] (?:very[ ])? (?:loud|full)\w* [ ](?:to|into)[ ] (?:very[ ])?
      (?:quiet|soft|silen|nothing)\w*
    | \b start(?:s|ing)? [ ](?:off[ ]|out[ ])? loud\w* [ ](?:and|but|then) [ ]ends?[ ] (?:\w+[ ])?
      (?:soft|quiet)\w*
    """
)
_DYNAMICS_HINT: Final = verbose(
    r"""scend|louder|softer|quieter|fainter|fad|volume|loudness|dynamic|level|swell
    |from[ ]|start|diminuend|dwindl|dies|dying|trails|tapers"""
)

_DIGIT: Final = re.compile(r"\d")
_FIGURE: Final = rf"(?<![\w.,:/#-]) ({FIGURE})"
_SECONDS: Final = verbose(
    rf"""
    (?: {_FIGURE} (?![\d/:]) | \b ({SPELLED}) )
      (?: [ -]? (?:seconds|secs?\b\.?) (?!
        [ ]{any_of("long in_length of_length in_duration clip loop each")} )
        | [ -]second (?: [ -] (?:mark|point|in(?![ ]length|[ ]duration)) \b | [ ]into\b ) )
          # "the 5 second mark"
    | (?<![\w.,:/#-]) (1|1\.0) [ ]second (?!
      [ ]{any_of("long in_length of_length in_duration clip loop each half part verse")} )
    | \b {any_of("at after from until till by around to")} [ ] ({FIGURE}) s\b (?!
      [ ]{any_of("style music pop rock era vibe")} )
    """,
    ignore_case=True,
)
_BARE_S: Final = 4  # the group of a number with a bare s after it: "at 5s"
# "1 minute and 20 seconds", "the two-minute mark"
_MINUTES: Final = verbose(
    rf"""\b ({FIGURE}|{SPELLED}) [ -]minutes?
    (?: ,?[ ] (?:and[ ])? ({FIGURE}|{SPELLED}) [ -]seconds? | [ -](?:mark|point|in)\b )""",
    ignore_case=True,
)
# "1:20", but neither "12:30 pm" nor "1:20:05"
_CLOCK: Final = verbose(
    r"(?<![\w:/.]) (\d{1,2}:[0-5]\d(?:\.\d+)?) (?![\d:]) (?!\s?[ap]\.?m\b)", ignore_case=True
)


def meter_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Meter claims: 6 for 6/8, 3 for a waltz."""
    if not _METER_HINT.search(lower):
        return
    for found in _SIGNATURE.finditer(lower):
        yield Mention(MeterFact(beats_per_bar=int(found[1])), TextSpan(*found.span()))
    for found in _NAMED.finditer(lower):
        count = next(count for start, count in _NAMED_COUNT.items() if found[1].startswith(start))
        yield Mention(MeterFact(beats_per_bar=count), TextSpan(*found.span()))
    if not _COUNT_HINT.search(lower):
        return
    for pattern in _METERS:
        for found in pattern.finditer(lower):
            yield Mention(
                MeterFact(beats_per_bar=round(read_number(found[1]))), TextSpan(*found.span())
            )


def dynamics_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Claims that the music, or a part of it, gets louder or softer."""
    if not _DYNAMICS_HINT.search(lower):
        return
    for change, pattern in ((Dynamics.CRESCENDO, _UP), (Dynamics.DECRESCENDO, _DOWN)):
        for found in pattern.finditer(lower):
            yield Mention(DynamicsFact(dynamics=change), TextSpan(*found.span()))


def time_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Times that the text names, in seconds from its start, and lengths within it.

    The length of the whole clip is none.
    """
    minutes = list(_MINUTES.finditer(lower)) if "minute" in lower else []
    for found in minutes:
        seconds = 60 * read_number(found[1]) + (read_number(found[2]) if found[2] else 0)
        yield Mention(TimeFact(time_s=seconds), TextSpan(*found.span()))
    if "sec" in lower or ("s " in lower and _DIGIT.search(lower)):
        for found in _SECONDS.finditer(lower):
            if not any(other.start() <= found.start() < other.end() for other in minutes):
                yield from _seconds(found)
    if ":" in lower:
        for found in _CLOCK.finditer(lower):
            whole, rest = found[1].split(":")
            part = TextSpan(*found.span(1))
            yield Mention(TimeFact(time_s=60 * int(whole) + float(rest)), part, (part,))


def _seconds(found: re.Match[str]) -> Iterator[Mention]:
    """The time that a number of seconds names, unless it is a decade: "from 80s"."""
    group = next(group for group in range(1, 5) if found[group] is not None)
    number = read_number(found[group])
    if group != _BARE_S or number < 20 or number % 10:
        yield Mention(
            TimeFact(time_s=number), TextSpan(*found.span()), (TextSpan(*found.span(group)),)
        )
