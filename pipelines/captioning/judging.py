"""What is wrong with a text that somebody offers as a rewording of a caption."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from pipelines.captioning.check import contradiction, disagree, merged, sequence, timed
from pipelines.captioning.facts import stated
from pipelines.captioning.splitting import clean_text, split_sentences
from pipelines.captioning.tempo_words import PLAIN
from schemas.caption import Caption, Fact, FactKind
from schemas.labels import Labels
from schemas.pitch import Key

_BPM_ROUNDING: Final = 0.5  # 117.6 may be told as 118
_TIME_ROUNDING_S: Final = 0.05  # 2.46 s may be told as 2.5
# times the source's length, plus characters: room for a one-line source
_LONGEST, _LONGER_BY = (2, 200)
_BY_WORDS: Final = frozenset((FactKind.INSTRUMENT, FactKind.MOOD))  # found as words, not parsed
_ALWAYS_ADDED: Final = frozenset((FactKind.DYNAMICS, FactKind.TIME))  # no label can confirm them
# Each pattern is asked only where its hint stands: most texts have none.
_SIGN_HINT: Final = re.compile(r"[<`{}*\[&]|://|www|script:", re.I)
_SIGNS: Final = re.compile(
    r"https?://|\bwww\.|```|<(?:!|[/?]?[a-z])|&(?:#x?[0-9a-f]{1,8}|lt|gt|amp|quot);|\b(?:java|vb)script:|[{}]|\[\w+\]\(|\*\*",
    re.I,
)
# A spreadsheet runs what begins so: =SUM(A1), +cmd|' /C calc'!A0, -2+3, @SUM(1).
_FORMULA: Final = re.compile(r"\s*(?:[=@]|[+-]\s*[\w.$'\"]*[(|!+*/=@])")
_LISTED: Final = re.compile(r"\s*(?:#{1,6}\s|(?:[-*•]|\d{1,2}[.)])\s+\S)")
_SPEAKER: Final = re.compile(
    r"\b(?:as|i am|i['’]m) an (?:ai|artificial|language)\b|\bas a (?:large )?language model\b", re.I
)
_OPENING: Final = re.compile(
    r"\W*(?:(?:sure|certainly|of course)\b[!,. ]|(?:paraphrased?|reworded|rewritten)(?: caption| "
    r"text| version)?:"
    r"|here(?: is|['’]s| "
    r"are)\b[^.\n]{0,60}\b(?:caption|paraphrase|rewording|version|rewrite|description))",
    re.I,
)


class Reason(StrEnum):
    """Why an offered text is refused."""

    LOST = "lost"  # a fact of the source is not stated
    CHANGED = "changed"  # it is stated with another value
    ADDED = "added"  # a fact that the source does not state
    CONTRADICTS = "contradicts"  # a label, or another fact of the same text
    TOO_LONG = "too_long"
    EMPTY = "empty"
    MARKUP = "markup"  # links, code, lists, formulas: no caption
    SAME = "same"  # word for word the source


class Fault(NamedTuple):
    """One reason, and the fact it is about: its kind ("" where it is about none) and its value.

    The value is the source's; of a fact that the source does not state, the offered text's.
    """

    reason: Reason
    kind: str = ""
    value: str = ""


def faults(offered: str, source: Caption, labels: Labels) -> tuple[Fault, ...]:
    """What is wrong with `offered` as a rewording of `source`; nothing where it may land.

    Every fact of the source must be stated but those that its own words get wrong by the labels:
    they must not be. A fact beside that is let in where a label confirms it; a plain tempo word
    ("fast") also where nothing speaks against it.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> empty = dict(beats=Beats(**how), meter=Meter(**how), chords=Chords(**how), key=KeyLabel(**how))
    >>> labels = Labels(duration_s=10, tempo=Tempo(**how), **empty)
    >>> claim = Fact(kind="meter", value="3", sentence=0)
    >>> source = Caption(text="It is in 3/4.", kind="control", sentences=("It is in 3/4.",), facts=(claim,))
    >>> faults("It is a waltz.", source, labels), faults("It is in 4/4.", source, labels)[0].reason.value
    ((), 'changed')
    """
    text = clean_text(offered)
    if not text:
        return (Fault(Reason.EMPTY),)
    found = _form(offered, text, source)
    told = [
        fact
        for fact in source.facts
        if fact.kind not in _BY_WORDS and not contradiction(fact, labels)
    ]
    read = _facts(text)
    missing = _unique([fact for fact in told if not any(_states(one, fact) for one in read)])
    extra = [one for one in read if not any(_states(fact, one) for fact in told)]
    for fact in missing:
        other = next((one for one in extra if _replaces(one, fact)), None)
        if other is not None:
            extra.remove(other)
        found.append(
            Fault(Reason.LOST if other is None else Reason.CHANGED, fact.kind.value, fact.value)
        )
    found += [
        Fault(Reason.LOST, fact.kind.value, fact.value)
        for fact in source.facts
        if fact.kind in _BY_WORDS and not _words(fact.value).search(text)
    ]
    kept = [one for one in read if one not in extra]
    for place, one in enumerate(extra):
        reason = _unfounded(one, [*kept, *told, *extra[:place]], labels)
        if reason:
            found.append(Fault(reason, one.kind.value, one.value))
    return tuple(found)


def _form(offered: str, text: str, source: Caption) -> list[Fault]:
    """What makes a text no caption, whatever it states."""
    out: list[Fault] = []
    if len(offered) > _LONGEST * len(source.text) + _LONGER_BY:
        out.append(Fault(Reason.TOO_LONG))
    if is_markup(offered):
        out.append(Fault(Reason.MARKUP))
    if text == clean_text(source.text):
        out.append(Fault(Reason.SAME))
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
    found = dict.fromkeys(claim for sentence in split_sentences(text) for claim in stated(sentence))
    return [Fact(kind=kind, value=value, sentence=0) for kind, value in found]


def _unique(facts: list[Fact]) -> list[Fact]:
    """Facts once each, wherever they stand: a claim that a text repeats is lost once."""
    return list({(fact.kind, fact.value): fact for fact in facts}.values())


def _states(one: Fact, wanted: Fact) -> bool:
    """Whether `one` says what `wanted` says, and perhaps more: timed chords state their sequence, a
    key its mode.
    """
    if one.kind is not wanted.kind:
        return (
            one.kind is FactKind.TIMED_CHORDS
            and wanted.kind is FactKind.CHORDS
            and sequence(one) == sequence(wanted)
        )
    same = _SAME.get(one.kind)
    return one.value == wanted.value or (same is not None and same(one.value, wanted.value))


def _timed_states(one: str, wanted: str) -> bool:
    first, second = timed(one), timed(wanted)
    if [label for label, _ in first] != [label for label, _ in second]:
        return False
    return all(
        abs(start - at) <= _TIME_ROUNDING_S + 1e-9
        for (_, start), (_, at) in zip(first, second, strict=True)
    )


def _key_states(one: str, wanted: str) -> bool:
    if " " not in wanted:
        return one.endswith(wanted)
    return " " in one and Key.parse(one) == Key.parse(wanted)


# what may be written in several ways, or rounded
_SAME: Final[dict[FactKind, Callable[[str, str], bool]]] = {
    FactKind.BPM: lambda one, wanted: abs(float(one) - float(wanted)) <= _BPM_ROUNDING,
    FactKind.TIME: lambda one, wanted: abs(float(one) - float(wanted)) <= _TIME_ROUNDING_S + 1e-9,
    FactKind.KEY: _key_states,
    FactKind.CHORDS: lambda one, wanted: merged(one.split()) == merged(wanted.split()),
    FactKind.TIMED_CHORDS: _timed_states,
}


def _is_vague(fact: Fact) -> bool:
    """Whether a fact leaves room for many values: "fast", "a minor key"."""
    if fact.kind is FactKind.KEY:
        return " " not in fact.value
    return fact.kind is FactKind.TEMPO_WORD and fact.value in PLAIN


def _replaces(one: Fact, missing: Fact) -> bool:
    """Whether a text's fact stands where the source's should."""
    if disagree(one, missing):
        return True
    return one.kind is missing.kind and not _is_vague(one)


def _unfounded(one: Fact, others: list[Fact], labels: Labels) -> Reason | None:
    """Why a fact that the source does not state may not stand beside the others, or nothing where
    it may.
    """
    if contradiction(one, labels) or any(disagree(one, other) for other in others):
        return Reason.CONTRADICTS
    if one.kind in _ALWAYS_ADDED:
        return Reason.ADDED
    if one.kind is FactKind.TEMPO_WORD and _is_vague(one):
        return None
    return None if _is_labelled(one.kind, labels) else Reason.ADDED


def _is_labelled(kind: FactKind, labels: Labels) -> bool:
    """Whether there is a label that a fact of this kind can be held against."""
    if kind in (FactKind.BPM, FactKind.TEMPO_WORD):
        return labels.tempo.bpm is not None
    if kind is FactKind.METER:
        return labels.meter.beats_per_bar is not None
    if kind is FactKind.KEY:
        return labels.key.tonic is not None
    return kind in (FactKind.CHORDS, FactKind.TIMED_CHORDS) and any(
        segment.chord is not None for segment in labels.chords.segments
    )


@lru_cache(maxsize=4096)  # a source's metadata names few instruments and moods
def _words(value: str) -> re.Pattern[str]:
    """A pattern for a name in a text: whole words, singular or plural, a hyphen or a space
    between.
    """
    *most, last = re.split(r"[\s-]+", value.strip())
    stem = last if last.endswith("ss") or len(last) < 4 else re.sub(r"(?:ies|y|s)$", "", last)
    inner = "".join(rf"{re.escape(word)}[\s-]+" for word in most)
    return re.compile(rf"(?<!\w){inner}{re.escape(stem)}(?:ies|y|es|s)?(?!\w)", re.I)
