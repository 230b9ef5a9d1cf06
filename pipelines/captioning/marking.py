"""The words of a caption that state its facts, and how each fact stands beside the labels."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from pipelines.captioning.check import contradiction
from pipelines.captioning.facts import mentions
from pipelines.captioning.tempo_words import TEMPO_RANGES
from schemas.caption import Caption
from schemas.corpus import Change
from schemas.fact import (
    BpmFact,
    ChordsFact,
    Dynamics,
    DynamicsFact,
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


class Standing(StrEnum):
    """What the labels of the same audio say of a stated fact."""

    AGREES = "agrees"
    DIFFERS = "differs"
    OPEN = "open"  # no label decides


class MarkedWords(NamedTuple):
    """Characters `start` up to, not including, `end` of a caption's text, and the fact they
    state.
    """

    start: int
    end: int
    fact: Fact


class MarkedText(NamedTuple):
    """A caption's text and its words that state a fact: in order, none over another."""

    text: str
    words: tuple[MarkedWords, ...]


def marked(caption: Caption) -> MarkedText:
    """A caption with the words that state the facts it carries.

    What its text states beyond them is not marked; of a fact whose words are not found, there are
    none.

    >>> found = marked(Caption(text="A waltz at 90 BPM.", kind="source",
    ...     sentences=("A waltz at 90 BPM.",), facts=(BpmFact(bpm=90),)))
    >>> [found.text[start:end] for start, end, _ in found.words]
    ['90 BPM']
    """
    sentences = caption.sentences or ((caption.text,) if caption.text else ())
    text = ""
    words: list[MarkedWords] = []
    for index, sentence in enumerate(sentences):
        text += f" {sentence}" if text else sentence
        first = len(text) - len(sentence)
        stated = [fact for fact in caption.facts if fact.sentence == index]
        found = sorted(_words(sentence, stated), key=lambda one: (one.start, -one.end))
        end = 0
        for one in found:
            if one.start >= end:
                words.append(MarkedWords(first + one.start, first + one.end, one.fact))
                end = one.end
    return MarkedText(text, tuple(words))


def _words(sentence: str, stated: list[Fact]) -> Iterator[MarkedWords]:
    """Where a sentence states these facts."""
    for mention in mentions(sentence) if stated else ():
        same = [fact for fact in stated if fact.at(0) == mention.fact.at(0)]
        alike = [fact for fact in stated if fact.kind is mention.kind]
        if same or alike:
            yield MarkedWords(*mention.span, (same or alike)[0])
    for fact in stated:
        if isinstance(fact, InstrumentFact | MoodFact):
            named = re.search(rf"\b{re.escape(fact.text)}\b", sentence, re.IGNORECASE)
            if named:
                yield MarkedWords(*named.span(), fact)


def standing(fact: Fact, labels: Labels, change: Change) -> Standing:
    """Whether the labels of the same audio agree with a fact, differ from it, or do not decide.

    Tolerances are those of `contradiction`. Dynamics are decided by the change that was made to the
    volume, and else by nothing; so are instruments, moods, and times within the audio.

    >>> fades = Change(variant="v1", gain_end=0.2)
    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> kinds = dict(beats=Beats, meter=Meter, tempo=Tempo, chords=Chords, key=KeyLabel)
    >>> empty = Labels(duration_s=10, **{name: kind(**how) for name, kind in kinds.items()})
    >>> standing(DynamicsFact(dynamics="crescendo"), empty, fades).value
    'differs'
    >>> standing(MeterFact(beats_per_bar=3), empty, fades).value
    'open'
    """
    if contradiction(fact, labels):
        return Standing.DIFFERS
    if isinstance(fact, DynamicsFact) and change.gain_start != change.gain_end:
        made = Dynamics.CRESCENDO if change.gain_start < change.gain_end else Dynamics.DECRESCENDO
        return Standing.AGREES if fact.dynamics is made else Standing.DIFFERS
    return Standing.AGREES if _is_decided(fact, labels) else Standing.OPEN


def _is_decided(fact: Fact, labels: Labels) -> bool:
    """Whether there is a label that could have denied the fact."""
    match fact:
        case BpmFact():
            return labels.tempo.bpm is not None
        case TempoWordFact():
            return labels.tempo.bpm is not None and fact.word in TEMPO_RANGES
        case MeterFact():
            return labels.meter.beats_per_bar is not None
        case KeyFact():
            return labels.key.key is not None
        case ChordsFact() | TimedChordsFact():
            return any(segment.chord for segment in labels.chords.segments)
        case TimeFact() | _:
            return False
