"""Source captions under a change of the audio: what moves exactly is rewritten in place, what
cannot be is dropped.
"""

import re
from collections import Counter
from typing import Final, NamedTuple

from pipelines.captioning.facts import facts_of, mentions, stated
from pipelines.captioning.mention import Mention, TextSpan, read_number
from pipelines.captioning.mentions_harmony import read_note
from pipelines.captioning.slots import article
from pipelines.captioning.splitting import split_sentences
from schemas.chord import Chord
from schemas.corpus import Change
from schemas.counts import CaptionCount, CaptionEvent
from schemas.fact import (
    BpmFact,
    ChordsFact,
    DynamicsFact,
    Fact,
    FactKind,
    KeyFact,
    TempoWordFact,
    TimedChordsFact,
    TimeFact,
)
from schemas.pitch import Key, pretty, spell

_ARTICLE: Final = re.compile(r"\b([Aa])n? $")
_ASCII_SIGN: Final = re.compile(r"\b[A-G](?:#|b(?![a-z]|$)|b(?=m|maj|dim|sus|aug))")


class MovedText(NamedTuple):
    """A caption that is true of the changed audio, and what was moved or dropped."""

    text: str
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]
    counts: dict[CaptionCount, int]


def moved_text(text: str, change: Change, duration_s: float, key: Key | None = None) -> MovedText:
    """A source caption as it holds after `change`, for a variant of `duration_s` seconds.

    `key` is the variant's key: chords are spelled in it where the text names no key of its own.

    >>> moved_text("A 100 BPM jam in A minor.", Change(variant="s1", speed=1.2), 10).text
    'A 120 BPM jam in A minor.'
    >>> moved_text("An A major tune. It is slow.", Change(variant="pu2", semitones=2), 10).text
    'A B major tune. It is slow.'
    """
    counts: Counter[CaptionCount] = Counter()
    home = _own_key(text, change.semitones) or key
    kept: list[str] = []
    for sentence in split_sentences(text):
        gone = _dropped(mentions(sentence), change, duration_s)
        moved = sentence if gone else _moved_sentence(sentence, text, change, home)
        gone = gone or _unlike(sentence, moved, change.semitones)
        if gone:
            counts[CaptionCount(CaptionEvent.DROPPED, gone)] += 1
            continue
        if moved != sentence:
            moving = [mention.kind for mention in mentions(sentence) if _moves(mention, change)]
            counts.update(CaptionCount(CaptionEvent.MOVED, kind) for kind in moving)
        kept.append(moved)
    whole = " ".join(kept)
    sentences = split_sentences(whole)
    return MovedText(whole, sentences, facts_of(sentences), dict(counts))


def _moves(mention: Mention, change: Change) -> bool:
    if isinstance(mention.fact, BpmFact | TimeFact):
        return change.speed != 1 and bool(mention.parts)
    return change.semitones != 0 and bool(mention.parts)


def _dropped(found: tuple[Mention, ...], change: Change, duration_s: float) -> FactKind | None:
    """The kind of the first claim that cannot be moved."""
    return next(
        (mention.kind for mention in found if _cannot_move(mention, change, duration_s)), None
    )


def _cannot_move(mention: Mention, change: Change, duration_s: float) -> bool:
    match mention.fact:
        case TempoWordFact():
            return change.speed != 1
        case TimedChordsFact():  # its times and names are one claim, without parts that move
            return change.speed != 1 or change.semitones != 0
        case DynamicsFact():
            return change.gain_start != change.gain_end
        case TimeFact(time_s=time_s):  # no longer in the audio, or written in minutes and seconds
            return change.speed != 1 and (not mention.parts or time_s / change.speed > duration_s)
        case _:
            return False


def _unlike(before: str, after: str, semitones: int) -> FactKind | None:
    """The kind of a claim that the rewritten sentence does not state as it should: such a sentence
    is not kept.
    """
    for fact, new in zip(stated(before), stated(after), strict=False):
        expected = _transposed(fact, semitones)
        if fact.kind is not new.kind or (expected is not None and expected != new):
            return fact.kind
    if len(stated(before)) == len(stated(after)):
        return None
    return (stated(before) + stated(after))[0].kind


def _transposed(fact: Fact, semitones: int) -> Fact | None:
    """A fact about harmony as it holds so many semitones higher; none for another."""
    if isinstance(fact, KeyFact):
        return KeyFact.of(fact.key.transposed(semitones)) if fact.key else fact
    if isinstance(fact, ChordsFact):
        return ChordsFact(
            chords=tuple(Chord.parse(label).transposed(semitones).harte for label in fact.chords)
        )
    return None


def _moved_sentence(sentence: str, text: str, change: Change, key: Key | None) -> str:
    """The sentence with its numbers and note names as they hold after the change."""
    edits: dict[TextSpan, str] = {}
    for mention in mentions(sentence):
        if _moves(mention, change):
            for part in mention.parts:
                old = sentence[part.start : part.end]
                edits[part] = _moved_part(mention.fact, old, text, change, key)
    for part in sorted(edits, reverse=True):
        new = edits[part]
        before = _ARTICLE.sub(rf"\g<1>{article(new)[1:]} ", sentence[: part.start])
        sentence = before + new + sentence[part.end :]
    return sentence


def _moved_part(fact: Fact, old: str, text: str, change: Change, key: Key | None) -> str:
    """A number or note name of a fact as it holds after the change, in the old one's writing."""
    match fact:
        case BpmFact():
            return _like_number(read_number(old) * change.speed, old)
        case TimeFact(time_s=time_s):
            return _like_time(time_s / change.speed, old)
        case KeyFact(key=Key() as named):
            return _like_note(named.transposed(change.semitones).tonic_name, old, text)
        case _:
            return _like_note(spell((read_note(old) + change.semitones) % 12, key), old, text)


def _like_number(number: float, old: str) -> str:
    """A tempo with as many decimals as the old one had."""
    return f"{number:.{len(old.partition('.')[2])}f}"


def _like_time(seconds: float, old: str) -> str:
    """A time in the old one's writing; whole seconds get a decimal where they need one."""
    decimals = len(old.partition(".")[2])
    if ":" in old:
        whole = round(seconds, decimals)
        minutes, rest = divmod(whole, 60)
        width = decimals + 3 if decimals else 2
        return f"{int(minutes):0{len(old.partition(':')[0])}d}:{rest:0{width}.{decimals}f}"
    return f"{seconds:.{decimals}f}" if decimals else f"{seconds:.1f}".removesuffix(".0")


def _like_note(name: str, old: str, text: str) -> str:
    """A note name, given in ASCII, in the old one's writing: signs or words, capital or small."""
    letter = name[0].lower() if old[0].islower() else name[0]
    if old[1:].lower().endswith(("sharp", "flat")):
        word = {"#": "sharp", "b": "flat"}.get(name[1:], "")
        return f"{letter}{old[1]}{word}" if word else letter
    in_ascii = old[1:] in ("#", "b") or (
        old[1:] not in ("♯", "♭") and bool(_ASCII_SIGN.search(text))
    )
    return letter + (name[1:] if in_ascii else pretty(name)[1:])


def _own_key(text: str, semitones: int) -> Key | None:
    """The key that the text itself names, moved."""
    for sentence in split_sentences(text):
        for fact in stated(sentence):
            if isinstance(fact, KeyFact) and fact.key:
                return fact.key.transposed(semitones)
    return None
