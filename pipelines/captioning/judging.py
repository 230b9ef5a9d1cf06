"""What is wrong with a text that somebody offers as a rewording of a caption."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from pipelines.captioning.check import contradiction, disagree, sequence, timed
from pipelines.captioning.facts import stated
from pipelines.captioning.mention import verbose
from pipelines.captioning.splitting import clean_text, split_sentences
from pipelines.captioning.tempo_words import PLAIN
from schemas.caption import Caption
from schemas.counts import Reason, Refusal
from schemas.fact import (
    BpmFact,
    ChordsFact,
    Fact,
    InstrumentFact,
    KeyFact,
    MeterFact,
    MoodFact,
    TempoWordFact,
    TimedChordsFact,
    TimeFact,
)
from schemas.labels import Labels

_BPM_ROUNDING: Final = 0.5  # 117.6 may be written as 118
_TIME_ROUNDING_S: Final = 0.05  # 2.46 s may be written as 2.5
# times the source's length, plus characters: room for a one-line source
_LONGEST, _LONGER_BY = (2, 200)
# Each pattern is tried only where its hint stands: most texts have none.
_SIGN_HINT: Final = re.compile(r"[<`{}*\[&]|://|www|script:", re.I)
# Links, code and markup: "https://", "www.", "```", "<b", "&amp;", "javascript:", "{", "[x](",
# "**".
_SIGNS: Final = verbose(
    r"""https?:// | \bwww\. | ``` | <(?:!|[/?]?[a-z]) | &(?:\#x?[0-9a-f]{1,8}|lt|gt|amp|quot); |
      \b(?:java|vb)script:
    | [{}] | \[\w+\]\( | \*\*""",
    ignore_case=True,
)
# A spreadsheet runs what begins so: =SUM(A1), +cmd|' /C calc'!A0, -2+3, @SUM(1).
_FORMULA: Final = re.compile(r"\s*(?:[=@]|[+-]\s*[\w.$'\"]*[(|!+*/=@])")
_LISTED: Final = re.compile(r"\s*(?:#{1,6}\s|(?:[-*•]|\d{1,2}[.)])\s+\S)")
# "As an AI", "I'm an artificial", "as a large language model"
_SPEAKER: Final = verbose(
    r"""\b(?:as|i[ ]am|i['’]m)[ ]an[ ](?:ai|artificial|language)\b |
      \bas[ ]a[ ](?:large[ ])?language[ ]model\b""",
    ignore_case=True,
)
# "Sure! …", "Paraphrased caption: …", "Here is the reworded version"
_OPENING: Final = verbose(
    r"""\W* (?: (?: sure | certainly | of[ ]course )\b [!,. ]
    | (?: paraphrased? | reworded | rewritten ) (?: [ ]caption | [ ]text | [ ]version )? :
    | here (?: [ ]is | ['’]s | [ ]are )\b [^.\n]{0,60} \b (?:
      caption|paraphrase|rewording|version|rewrite|description ) )""",
    ignore_case=True,
)


class CaptionFault(NamedTuple):
    """One reason, and the fact it is about, if any: the source's, or one that the offered text
    alone states.
    """

    reason: Reason
    fact: Fact | None = None

    @property
    def text(self) -> str:
        """For people who look through faults: ``changed bpm 118``."""
        return (
            f"{self.reason} {self.fact.kind} {self.fact.text}" if self.fact else self.reason.value
        )

    @property
    def refusal(self) -> Refusal:
        """What is counted of it."""
        return Refusal(self.reason, self.fact.kind if self.fact else None)


def faults(offered: str, source: Caption, labels: Labels) -> tuple[CaptionFault, ...]:
    """What is wrong with `offered` as a rewording of `source`; nothing where it may land.

    Every fact of the source must be stated but those that its own words get wrong by the labels:
    they must not be. A fact beside that is let in where a label confirms it; a plain tempo word
    ("fast") also where nothing speaks against it.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> kinds = dict(beats=Beats, meter=Meter, chords=Chords, key=KeyLabel)
    >>> empty = {name: kind(**how) for name, kind in kinds.items()}
    >>> labels = Labels(duration_s=10, tempo=Tempo(**how), **empty)
    >>> claim = MeterFact(beats_per_bar=3)
    >>> text = "It is in 3/4."
    >>> source = Caption(text=text, kind="control", sentences=(text,), facts=(claim,))
    >>> faults("It is a waltz.", source, labels)
    ()
    >>> faults("It is in 4/4.", source, labels)[0].reason.value
    'changed'
    """
    text = clean_text(offered)
    if not text:
        return (CaptionFault(Reason.EMPTY),)
    claims = [fact for fact in source.facts if not isinstance(fact, InstrumentFact | MoodFact)]
    expected = [fact.at(0) for fact in claims if not contradiction(fact, labels)]
    read = _facts(text)
    extra = [one for one in read if not _is_stated(one, expected)]
    missing = _missing(expected, read, extra)
    kept = [one for one in read if one not in extra]
    return (
        *_form(offered, text, source),
        *missing,
        *_unnamed(text, source),
        *_added(extra, [*kept, *expected], labels),
    )


def _is_stated(one: Fact, expected: Sequence[Fact]) -> bool:
    return any(_states(fact, one) for fact in expected)


def _missing(
    expected: Sequence[Fact], read: Sequence[Fact], extra: list[Fact]
) -> list[CaptionFault]:
    """Facts of the source that are not stated, each once.

    One that stands in the place of another goes from `extra`.
    """
    out: list[CaptionFault] = []
    for fact in dict.fromkeys(expected):
        if any(_states(one, fact) for one in read):
            continue
        other = next((one for one in extra if _replaces(one, fact)), None)
        if other is not None:
            extra.remove(other)
        out.append(CaptionFault(Reason.LOST if other is None else Reason.CHANGED, fact))
    return out


def _unnamed(text: str, source: Caption) -> list[CaptionFault]:
    """Instruments and moods of the source that the text does not name: they are found as words, not
    parsed.
    """
    named = [fact for fact in source.facts if isinstance(fact, InstrumentFact | MoodFact)]
    return [
        CaptionFault(Reason.LOST, fact.at(0))
        for fact in named
        if not _words(fact.text).search(text)
    ]


def _added(extra: Sequence[Fact], others: Sequence[Fact], labels: Labels) -> list[CaptionFault]:
    """Facts that the source does not state and that may not stand beside the others."""
    out: list[CaptionFault] = []
    for index, one in enumerate(extra):
        reason = _unfounded(one, [*others, *extra[:index]], labels)
        if reason:
            out.append(CaptionFault(reason, one))
    return out


def _form(offered: str, text: str, source: Caption) -> list[CaptionFault]:
    """What makes a text no caption, whatever it states."""
    out: list[CaptionFault] = []
    if len(offered) > _LONGEST * len(source.text) + _LONGER_BY:
        out.append(CaptionFault(Reason.TOO_LONG))
    if is_markup(offered):
        out.append(CaptionFault(Reason.MARKUP))
    if text == clean_text(source.text):
        out.append(CaptionFault(Reason.SAME))
    return out


def is_markup(offered: str) -> bool:
    """Whether a text holds links, code or a list, begins like a formula, or speaks of itself."""
    # what lands: no sign hides others from us
    visible = "\n".join(clean_text(line, len(line) + 1) for line in offered.splitlines())
    if any(
        _LISTED.match(line) or _OPENING.match(line) or _FORMULA.match(line)
        for line in visible.splitlines()
    ):
        return True
    if (" an " in visible or " language" in visible) and _SPEAKER.search(visible):
        return True
    return bool(_SIGN_HINT.search(visible) and _SIGNS.search(visible))


def _facts(text: str) -> list[Fact]:
    """What a text states, each once."""
    return list(
        dict.fromkeys(claim for sentence in split_sentences(text) for claim in stated(sentence))
    )


def _states(one: Fact, expected: Fact) -> bool:
    """Whether `one` says what `expected` says, and perhaps more.

    Timed chords state their sequence, a key its mode.

    Numbers may be rounded, chords spelled in several ways.
    """
    match one, expected:
        case (ChordsFact() | TimedChordsFact()) as chords, ChordsFact() as order:
            return sequence(chords) == sequence(order)
        case BpmFact(bpm=bpm), BpmFact(bpm=wanted_bpm):
            return abs(bpm - wanted_bpm) <= _BPM_ROUNDING
        case TimeFact(time_s=time_s), TimeFact(time_s=expected_s):
            return abs(time_s - expected_s) <= _TIME_ROUNDING_S + 1e-9
        case KeyFact() as key, KeyFact(tonic=None, mode=mode):
            return key.mode is mode
        case TimedChordsFact() as chords, TimedChordsFact() as wanted_chords:
            return _timed_states(chords, wanted_chords)
        case _:
            return one.at(0) == expected.at(0)


def _timed_states(one: TimedChordsFact, expected: TimedChordsFact) -> bool:
    first, second = timed(one), timed(expected)
    if [label for label, _ in first] != [label for label, _ in second]:
        return False
    pairs = zip(first, second, strict=True)
    return all(
        abs(start_s - expected_s) <= _TIME_ROUNDING_S + 1e-9
        for (_, start_s), (_, expected_s) in pairs
    )


def _is_vague(fact: Fact) -> bool:
    """Whether a fact leaves room for many values: "fast", "a minor key"."""
    if isinstance(fact, KeyFact):
        return fact.tonic is None
    return isinstance(fact, TempoWordFact) and fact.word in PLAIN


def _replaces(one: Fact, missing: Fact) -> bool:
    """Whether a text's fact stands where the source's should."""
    if disagree(one, missing):
        return True
    return one.kind is missing.kind and not _is_vague(one)


def _unfounded(one: Fact, others: Sequence[Fact], labels: Labels) -> Reason | None:
    """Why a fact that the source does not state may not stand beside the others, or nothing where
    it may.
    """
    if contradiction(one, labels) or any(disagree(one, other) for other in others):
        return Reason.CONTRADICTS
    if isinstance(one, TempoWordFact) and _is_vague(one):
        return None
    return None if _is_labelled(one, labels) else Reason.ADDED


def _is_labelled(fact: Fact, labels: Labels) -> bool:
    """Whether there is a label that the fact can be held against.

    None speaks of dynamics and times.
    """
    match fact:
        case BpmFact() | TempoWordFact():
            return labels.tempo.bpm is not None
        case MeterFact():
            return labels.meter.beats_per_bar is not None
        case KeyFact():
            return labels.key.tonic is not None
        case ChordsFact() | TimedChordsFact():
            return any(segment.chord is not None for segment in labels.chords.segments)
        case _:
            return False


@lru_cache(maxsize=4096)  # a source's metadata names few instruments and moods
def _words(value: str) -> re.Pattern[str]:
    """A pattern for a name in a text: whole words, singular or plural, a hyphen or a space
    between.
    """
    *most, last = re.split(r"[\s-]+", value.strip())
    stem = last if last.endswith("ss") or len(last) < 4 else re.sub(r"(?:ies|y|s)$", "", last)
    inner = "".join(rf"{re.escape(word)}[\s-]+" for word in most)
    return re.compile(rf"(?<!\w){inner}{re.escape(stem)}(?:ies|y|es|s)?(?!\w)", re.I)
