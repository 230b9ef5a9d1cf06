"""Sentences of ours found again in a text: their banks and values, one or two to a sentence."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from pipelines.captioning.facts import stated
from pipelines.captioning.slots import COUNTS, ROUND_TIMES, Slots, fill
from pipelines.captioning.symbols import CHORD, CHORD_LIST
from pipelines.captioning.tempo_words import METRONOME
from pipelines.captioning.wordings import WORDINGS
from schemas.fact import (
    BpmFact,
    ChordsFact,
    DynamicsFact,
    Fact,
    FactKind,
    KeyFact,
    MeterFact,
    TempoWordFact,
    TimedChordsFact,
    write_number,
)
from schemas.pitch import pretty

JOINTS: Final = (", and ", "; ", ", while ")
_OPENERS: Final = frozenset(
    ["The", "It", "There", "Its", "This", "Each", "A", "In", "At", "You"]
)  # words that lose their capital inside a sentence
GIVEN_BANKS: Final = {FactKind.INSTRUMENT: "instruments", FactKind.MOOD: "moods"}

Stated: TypeAlias = tuple[Fact, ...]


class Recognised(NamedTuple):
    """One sentence of ours, with its bank, values and facts."""

    text: str
    bank: str
    slots: Slots
    facts: Stated


def joined(first: str, second: str, joint: str) -> str:
    """Two sentences as one, or nothing where the second cannot follow a comma.

    >>> joined("It is in A minor.", "The tempo is 92 BPM.", "; ")
    'It is in A minor; the tempo is 92 BPM.'
    """
    opener, space, rest = second.partition(" ")
    if opener not in _OPENERS or not space:
        return ""
    return f"{first.removesuffix('.')}{joint}{opener.lower()} {rest}"


def own_parts(sentence: str, given: Stated = ()) -> list[Recognised]:
    """The one or two sentences of ours that make up a sentence, or none.

    `given` are its facts that no parser reads: instruments, moods.

    >>> [part.bank for part in own_parts("It is in the key of A minor; the tempo is 92 BPM.")]
    ['key', 'bpm']
    """
    whole = _as_one(sentence, given)
    if whole:
        return [whole]
    for joint in JOINTS:
        start = sentence.find(joint)
        while start >= 0:
            rest = sentence[start + len(joint) :]
            parts = [
                _as_one(sentence[:start] + ".", given),
                _as_one(rest[:1].upper() + rest[1:], given),
            ]
            found = [part for part in parts if part]
            if len(found) == 2:
                return found
            start = sentence.find(joint, start + 1)
    return []


def recognised(sentence: str) -> tuple[str, Slots] | None:
    """The bank and values of a sentence that is one of ours about the labels, or none.

    >>> recognised("The tempo is 92 BPM.") == ("bpm", Slots(bpm="92"))
    True
    """
    found = _as_one(sentence, ())
    return (found.bank, found.slots) if found else None


def _as_one(sentence: str, given: Stated) -> Recognised | None:
    for kind, bank in GIVEN_BANKS.items():
        named = tuple(fact for fact in given if fact.kind is kind)
        items = tuple(fact.text for fact in named)
        if items and any(
            fill(wording, Slots(items=items)) == sentence for wording in WORDINGS[bank]
        ):
            return Recognised(sentence, bank, Slots(items=items), named)
    facts = stated(sentence)
    bank, slots = _bank_of(sentence, facts)
    if bank and any(fill(wording, slots) == sentence for wording in WORDINGS[bank]):
        return Recognised(sentence, bank, slots, facts)
    return None


def _bank_of(sentence: str, facts: Stated) -> tuple[str, Slots]:
    """The bank that could have written these facts, or an empty name."""
    match facts:
        case (BpmFact(),) | (TempoWordFact(),) | (BpmFact(), TempoWordFact()):
            return _tempo_bank(facts)
        case (MeterFact(beats_per_bar=beats),) if beats in COUNTS:
            return "meter", Slots(beats=beats)
        case (KeyFact() as key,):
            return "key", Slots(key=pretty(key.text))
        case (ChordsFact() | TimedChordsFact() as chords,):
            return (
                _timed_bank(sentence, chords)
                if isinstance(chords, TimedChordsFact)
                else _chord_bank(sentence, len(chords.chords))
            )
        case (DynamicsFact(dynamics=dynamics),):
            return dynamics.value, Slots()
        case _:
            return "", Slots()


def _tempo_bank(facts: Stated) -> tuple[str, Slots]:
    """The bank of a number, of a word or of both. "The tempo is slow" is somebody else's: we write
    other words.
    """
    bpm = next((fact.text for fact in facts if isinstance(fact, BpmFact)), "")
    word = next((fact.word for fact in facts if isinstance(fact, TempoWordFact)), "")
    if not word:
        return "bpm", Slots(bpm=bpm)
    bank = "both" if bpm else "word"
    return bank if word in METRONOME else "", Slots(bpm=bpm, word=word)


def _timed_bank(sentence: str, fact: TimedChordsFact) -> tuple[str, Slots]:
    starts = tuple(write_number(chord.start_s) for chord in fact.timed_chords)
    symbols: Sequence[str] = CHORD.findall(sentence)
    if len(symbols) != len(starts):
        return "", Slots()
    return "timed", Slots(chords=tuple(symbols), starts=starts)


def _chord_bank(sentence: str, count: int) -> tuple[str, Slots]:
    listed = max(CHORD_LIST.findall(sentence), key=len, default="")
    symbols = tuple(listed.replace(" and ", ", ").replace(" – ", ", ").split(", "))
    rounds, rest = divmod(count, len(symbols))
    if rounds > 1 and not rest:
        return "rounds" if rounds in ROUND_TIMES else "", Slots(chords=symbols, rounds=rounds)
    return "chords" if len(symbols) > 1 else "chord", Slots(chords=symbols)
