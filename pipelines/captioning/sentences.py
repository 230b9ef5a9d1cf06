"""Control sentences: what the labels allow to be said, sampled and put into words."""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import numpy as np

from pipelines.captioning.slots import COUNTS, ROUND_TIMES, Slots, fill
from pipelines.captioning.tempo_words import tempo_word
from pipelines.captioning.wordings import WORDINGS
from schemas.chord import NO_CHORD, Chord
from schemas.corpus import Change
from schemas.fact import (
    BpmFact,
    ChordsFact,
    Dynamics,
    DynamicsFact,
    Fact,
    FactKind,
    KeyFact,
    MeterFact,
    TempoWordFact,
    TimedChord,
    TimedChordsFact,
    write_number,
)
from schemas.labels import Chords, Labels
from schemas.pitch import Key, Mode, pretty
from schemas.recipe import CaptionRecipe

_BPM_STATED: Final = (20, 400)
_MAX_TIMED: Final = 8  # more changes than these read like a table, not like a sentence
_LEAST_GAP_S: Final = 0.2  # closer changes could share a start once rounded to 0.1 s
_ROUNDS_SHARE: Final = 2 / 3  # how often a progression that repeats is named as a repeat


class Attribute(StrEnum):
    """What a control sentence is about."""

    TEMPO = "tempo"
    METER = "meter"
    KEY = "key"
    CHORDS = "chords"
    DYNAMICS = "dynamics"
    INSTRUMENTS = "instruments"
    MOODS = "moods"


class StartedChord(NamedTuple):
    """A chord in canonical Harte syntax and when it begins."""

    harte: str
    start_s: float


class ControlSentence(NamedTuple):
    """One sentence of ours and the facts that it states."""

    attribute: Attribute
    text: str
    facts: tuple[Fact, ...]


ATTRIBUTE_OF: Final = {
    FactKind.BPM: Attribute.TEMPO,
    FactKind.TEMPO_WORD: Attribute.TEMPO,
    FactKind.METER: Attribute.METER,
    FactKind.KEY: Attribute.KEY,
    FactKind.CHORDS: Attribute.CHORDS,
    FactKind.TIMED_CHORDS: Attribute.CHORDS,
    FactKind.DYNAMICS: Attribute.DYNAMICS,
    FactKind.INSTRUMENT: Attribute.INSTRUMENTS,
    FactKind.MOOD: Attribute.MOODS,
}


def available(labels: Labels, recipe: CaptionRecipe) -> tuple[Attribute, ...]:
    """What may be stated of the labels: what is sure, and what we have words for."""
    out: list[Attribute] = []
    sure, bpm = sure_of(labels, recipe), labels.tempo.bpm
    if Attribute.TEMPO in sure and bpm is not None and _BPM_STATED[0] <= bpm <= _BPM_STATED[1]:
        out.append(Attribute.TEMPO)
    if Attribute.METER in sure and labels.meter.beats_per_bar in COUNTS:
        out.append(Attribute.METER)
    if Attribute.KEY in sure:
        out.append(Attribute.KEY)
    if Attribute.CHORDS in sure:
        hartes = tuple(chord.harte for chord in chords_in_order(labels.chords))
        if hartes and (
            len(hartes) <= recipe.max_chords
            or len(hartes) // rounds_of(hartes) <= recipe.max_chords
        ):
            out.append(Attribute.CHORDS)
    return tuple(out)


def sure_of(labels: Labels, recipe: CaptionRecipe) -> frozenset[Attribute]:
    """What the labels say as confidently as the recipe asks."""
    found = (
        (
            Attribute.TEMPO,
            labels.tempo.bpm is not None,
            labels.tempo.confidence >= recipe.min_tempo_confidence,
        ),
        (
            Attribute.METER,
            labels.meter.beats_per_bar is not None,
            labels.meter.confidence >= recipe.min_meter_confidence,
        ),
        (
            Attribute.KEY,
            labels.key.tonic is not None,
            labels.key.confidence >= recipe.min_key_confidence,
        ),
        (
            Attribute.CHORDS,
            bool(labels.chords.segments),
            labels.chords.confidence >= recipe.min_chords_confidence,
        ),
    )
    return frozenset(attribute for attribute, is_there, is_sure in found if is_there and is_sure)


def chords_in_order(chords: Chords) -> list[StartedChord]:
    """The chords in order with their starts; no-chord left out, immediate repeats merged."""
    out: list[StartedChord] = []
    for segment in chords.segments:
        if segment.label != NO_CHORD:
            harte = _canonical(segment.label)
            if not out or out[-1].harte != harte:
                out.append(StartedChord(harte, segment.start_s))
    return out


def rounds_of(hartes: Sequence[str]) -> int:
    """How many times the shortest round of two chords or more makes up a sequence without immediate
    repeats; 1 where none does.

    >>> rounds_of(["A:min", "F:maj"] * 3), rounds_of(["A:min", "F:maj", "A:min"])
    (3, 1)
    """
    for length in range(2, len(hartes) // 2 + 1):
        times, rest = divmod(len(hartes), length)
        if not rest and times in ROUND_TIMES and hartes[length:] == hartes[:-length]:
            return times
    return 1


def draw_sentences(
    labels: Labels, recipe: CaptionRecipe, rng: np.random.Generator, at_least: int = 0
) -> list[ControlSentence]:
    """Control sentences in random order: how many by the recipe's chances, about what uniformly
    among what may be stated.
    """
    may = available(labels, recipe)
    threshold = rng.random() * sum(recipe.sentences)
    count = sum(threshold >= end for end in accumulate(recipe.sentences[:-1]))
    chosen = rng.permutation(len(may))[: max(count, at_least)].tolist()
    return [control_sentence(may[index], labels, recipe, rng) for index in chosen]


def control_sentence(
    attribute: Attribute, labels: Labels, recipe: CaptionRecipe, rng: np.random.Generator
) -> ControlSentence:
    """One sentence about an attribute that `available` allows."""
    if attribute is Attribute.TEMPO:
        return _tempo_sentence(labels.tempo.bpm or 0.0, recipe, rng)
    if attribute is Attribute.METER:
        beats = labels.meter.beats_per_bar or 0
        return worded("meter", Slots(beats=beats), (MeterFact(beats_per_bar=beats),), rng)
    key = labels.key.key
    if attribute is Attribute.KEY and key is not None:
        return worded("key", Slots(key=pretty(key.name)), (KeyFact.of(key),), rng)
    return _chord_sentence(chords_in_order(labels.chords), key_name(labels), recipe, rng)


def dynamics_sentence(change: Change, rng: np.random.Generator) -> ControlSentence | None:
    """A sentence about how a volume variant changes, or none where the volume stays."""
    if change.gain_start == change.gain_end:
        return None
    dynamics = Dynamics.CRESCENDO if change.gain_end > change.gain_start else Dynamics.DECRESCENDO
    return worded(dynamics, Slots(), (DynamicsFact(dynamics=dynamics),), rng)


def worded(
    bank: str, slots: Slots, facts: tuple[Fact, ...], rng: np.random.Generator, avoid: str = ""
) -> ControlSentence:
    """Values in one of the wordings of a bank, another than `avoid`."""
    wordings: Sequence[str] = WORDINGS[bank]
    start = int(rng.random() * len(wordings))
    text = fill(wordings[start], slots)
    if text == avoid:
        text = fill(wordings[(start + 1) % len(wordings)], slots)
    return ControlSentence(ATTRIBUTE_OF[facts[0].kind], text, facts)


def key_name(labels: Labels) -> str:
    """The name of the labels' key, or an empty text."""
    if labels.key.tonic is None or labels.key.mode is None:
        return ""
    return _key_name(labels.key.tonic, labels.key.mode)


def _chord_sentence(
    chords: list[StartedChord], key: str, recipe: CaptionRecipe, rng: np.random.Generator
) -> ControlSentence:
    """The chords as a list, as rounds where they repeat, or with their starts, at random."""
    hartes = tuple(chord.harte for chord in chords)
    symbols = tuple(_symbol(harte, key) for harte in hartes)
    if rng.random() < recipe.chord_times_share and _may_be_timed(chords, recipe.max_chords):
        timed = tuple(
            TimedChord(label=chord.harte, start_s=round(chord.start_s, 1)) for chord in chords
        )
        starts = tuple(write_number(chord.start_s) for chord in timed)
        return worded(
            "timed",
            Slots(chords=symbols, starts=starts),
            (TimedChordsFact(timed_chords=timed),),
            rng,
        )
    facts = (ChordsFact(chords=hartes),)
    rounds = rounds_of(hartes)
    if rounds > 1 and (len(hartes) > recipe.max_chords or rng.random() < _ROUNDS_SHARE):
        return worded(
            "rounds", Slots(chords=symbols[: len(symbols) // rounds], rounds=rounds), facts, rng
        )
    return worded("chords" if len(chords) > 1 else "chord", Slots(chords=symbols), facts, rng)


def _may_be_timed(chords: list[StartedChord], max_chords: int) -> bool:
    if not 1 < len(chords) <= min(_MAX_TIMED, max_chords):
        return False
    return all(
        later.start_s - earlier.start_s >= _LEAST_GAP_S for earlier, later in pairwise(chords)
    )


def _tempo_sentence(bpm: float, recipe: CaptionRecipe, rng: np.random.Generator) -> ControlSentence:
    # the word follows the number as written, so that both agree at the edges of a range
    number = round(bpm)
    word = tempo_word(number)
    says_bpm, says_word = BpmFact(bpm=number), TempoWordFact(word=word)
    share = rng.random()
    if share < recipe.bpm_share:
        return worded("bpm", Slots(bpm=str(number)), (says_bpm,), rng)
    if share < (1 + recipe.bpm_share) / 2:
        return worded("word", Slots(word=word), (says_word,), rng)
    return worded("both", Slots(bpm=str(number), word=word), (says_bpm, says_word), rng)


@lru_cache(maxsize=1024)
def _canonical(label: str) -> str:
    return Chord.parse(label).harte


@lru_cache(maxsize=64)
def _key_name(tonic: int, mode: Mode) -> str:
    return Key(tonic=tonic, mode=mode).name


@lru_cache(maxsize=16384)
def _symbol(harte: str, key: str) -> str:
    return pretty(Chord.parse(harte).symbol(Key.parse(key) if key else None))
