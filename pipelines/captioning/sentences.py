"""Control sentences: what the labels allow to be said, drawn and put into words."""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from pipelines.captioning.check import heard_chords
from pipelines.captioning.facts import stated
from pipelines.captioning.symbols import CHORD_LIST
from pipelines.captioning.tempo_words import METRONOME, tempo_word
from pipelines.captioning.wordings import COUNTS, WORDINGS, Slots, fill
from schemas.caption import FactKind
from schemas.chord import Chord
from schemas.corpus import Change
from schemas.labels import Labels
from schemas.pitch import Key, pretty
from schemas.recipe import CaptionRecipe

_BPM_STATED: Final = (20, 400)


class Attribute(StrEnum):
    """What a control sentence is about."""

    TEMPO = "tempo"
    METER = "meter"
    KEY = "key"
    CHORDS = "chords"
    DYNAMICS = "dynamics"


class ControlSentence(NamedTuple):
    """One sentence of ours and the kinds and values of the facts that it states."""

    attribute: Attribute
    text: str
    facts: tuple[tuple[FactKind, str], ...]


ATTRIBUTE_OF: Final = {
    FactKind.BPM: Attribute.TEMPO,
    FactKind.TEMPO_WORD: Attribute.TEMPO,
    FactKind.METER: Attribute.METER,
    FactKind.KEY: Attribute.KEY,
    FactKind.CHORDS: Attribute.CHORDS,
    FactKind.DYNAMICS: Attribute.DYNAMICS,
}
_TEMPO_BANKS: Final[dict[tuple[FactKind, ...], str]] = {
    (FactKind.BPM,): "bpm",
    (FactKind.TEMPO_WORD,): "word",
    (FactKind.BPM, FactKind.TEMPO_WORD): "both",
}


def available(labels: Labels, recipe: CaptionRecipe) -> tuple[Attribute, ...]:
    """What may be stated of the labels: what is there and as confident as the recipe asks."""
    out: list[Attribute] = []
    bpm, beats = labels.tempo.bpm, labels.meter.beats_per_bar
    if bpm is not None and labels.tempo.confidence >= recipe.min_tempo_confidence and _BPM_STATED[0] <= bpm <= _BPM_STATED[1]:
        out.append(Attribute.TEMPO)
    if beats in COUNTS and labels.meter.confidence >= recipe.min_meter_confidence:
        out.append(Attribute.METER)
    if labels.key.tonic is not None and labels.key.confidence >= recipe.min_key_confidence:
        out.append(Attribute.KEY)
    if labels.chords.confidence >= recipe.min_chords_confidence and 0 < len(heard_chords(labels.chords)) <= recipe.max_chords:
        out.append(Attribute.CHORDS)
    return tuple(out)


def draw_sentences(labels: Labels, recipe: CaptionRecipe, rng: np.random.Generator, at_least: int = 0) -> list[ControlSentence]:
    """Control sentences in random order: how many by the recipe's chances, about what uniformly among what may be stated."""
    may = available(labels, recipe)
    ends = np.cumsum(recipe.sentences)
    wanted = int(np.searchsorted(ends / ends[-1], rng.random(), side="right"))
    chosen = rng.permutation(len(may))[: max(wanted, at_least)]
    return [control_sentence(may[place], labels, recipe, rng) for place in chosen]


def control_sentence(attribute: Attribute, labels: Labels, recipe: CaptionRecipe, rng: np.random.Generator) -> ControlSentence:
    """One sentence about an attribute that `available` allows."""
    if attribute is Attribute.TEMPO:
        return _tempo_sentence(labels.tempo.bpm or 0.0, recipe, rng)
    if attribute is Attribute.METER:
        beats = labels.meter.beats_per_bar or 0
        return worded("meter", Slots(beats=beats), ((FactKind.METER, str(beats)),), rng)
    if attribute is Attribute.KEY:
        key = _label_key(labels)
        name = key.name if key else ""
        return worded("key", Slots(key=pretty(name)), ((FactKind.KEY, name),), rng)
    heard = heard_chords(labels.chords)
    key = _label_key(labels)
    symbols = tuple(_symbol(harte, key.name if key else "") for harte in heard)
    return worded("chords" if len(heard) > 1 else "chord", Slots(chords=symbols), ((FactKind.CHORDS, " ".join(heard)),), rng)


def dynamics_sentence(change: Change, rng: np.random.Generator) -> ControlSentence | None:
    """A sentence about how a volume variant changes, or none where the volume stays."""
    if change.gain_start == change.gain_end:
        return None
    value = "crescendo" if change.gain_end > change.gain_start else "decrescendo"
    return worded(value, Slots(), ((FactKind.DYNAMICS, value),), rng)


def worded(bank: str, slots: Slots, facts: tuple[tuple[FactKind, str], ...], rng: np.random.Generator, avoid: str = "") -> ControlSentence:
    """Values in one of the wordings of a bank, another than `avoid`."""
    wordings: Sequence[str] = WORDINGS[bank]
    start = int(rng.random() * len(wordings))
    text = fill(wordings[start], slots)
    if text == avoid:
        text = fill(wordings[(start + 1) % len(wordings)], slots)
    return ControlSentence(ATTRIBUTE_OF[facts[0][0]], text, facts)


def recognised(sentence: str) -> tuple[str, Slots] | None:
    """The bank and values of a sentence that is one of ours, or none.

    >>> recognised("The tempo is 92 BPM.")
    ('bpm', Slots(bpm='92', word='', beats=0, key='', chords=()))
    """
    facts = stated(sentence)
    bank, slots = _bank_of(sentence, facts)
    if bank and any(fill(wording, slots) == sentence for wording in WORDINGS[bank]):
        return bank, slots
    return None


def _bank_of(sentence: str, facts: tuple[tuple[FactKind, str], ...]) -> tuple[str, Slots]:
    """The bank that could have written these facts, or an empty name."""
    kinds, values = tuple(kind for kind, _ in facts), dict(facts)
    if kinds in _TEMPO_BANKS:
        bpm, word = values.get(FactKind.BPM, ""), values.get(FactKind.TEMPO_WORD, "")
        is_ours = not word or word in METRONOME  # "The tempo is slow" is somebody else's
        return _TEMPO_BANKS[kinds] if is_ours else "", Slots(bpm=bpm, word=word)
    value = facts[0][1] if len(facts) == 1 else ""
    if kinds == (FactKind.METER,) and int(value) in COUNTS:
        return "meter", Slots(beats=int(value))
    if kinds == (FactKind.KEY,):
        return "key", Slots(key=pretty(value))
    if kinds == (FactKind.CHORDS,):
        listed = max(CHORD_LIST.findall(sentence), key=len, default="")
        symbols = tuple(listed.replace(" and ", ", ").replace(" – ", ", ").split(", "))
        return "chords" if len(symbols) > 1 else "chord", Slots(chords=symbols)
    return value if kinds == (FactKind.DYNAMICS,) else "", Slots()


def _tempo_sentence(bpm: float, recipe: CaptionRecipe, rng: np.random.Generator) -> ControlSentence:
    number = round(bpm)  # the word follows the number as written, so that both agree at the edges of a range
    word = tempo_word(number)
    says_bpm, says_word = (FactKind.BPM, str(number)), (FactKind.TEMPO_WORD, word)
    share = rng.random()
    if share < recipe.bpm_share:
        return worded("bpm", Slots(bpm=str(number)), (says_bpm,), rng)
    if share < (1 + recipe.bpm_share) / 2:
        return worded("word", Slots(word=word), (says_word,), rng)
    return worded("both", Slots(bpm=str(number), word=word), (says_bpm, says_word), rng)


def _label_key(labels: Labels) -> Key | None:
    if labels.key.tonic is None or labels.key.mode is None:
        return None
    return Key(tonic=labels.key.tonic, mode=labels.key.mode)


@lru_cache(maxsize=16384)
def _symbol(harte: str, key: str) -> str:
    return pretty(Chord.parse(harte).symbol(Key.parse(key) if key else None))
