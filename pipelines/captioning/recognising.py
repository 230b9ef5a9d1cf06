"""Sentences of ours found again in a text: their banks and values, one or two to a sentence."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from pipelines.captioning.facts import stated
from pipelines.captioning.slots import COUNTS, ROUND_TIMES, Slots, fill
from pipelines.captioning.symbols import CHORD, CHORD_LIST
from pipelines.captioning.tempo_words import METRONOME
from pipelines.captioning.wordings import WORDINGS
from schemas.caption import FactKind
from schemas.pitch import pretty

JOINTS: Final = (", and ", "; ", ", while ")
# words that lose their capital inside a sentence
_OPENERS: Final = frozenset(["The", "It", "There", "Its", "This", "Each", "A", "In", "At", "You"])
_TEMPO_BANKS: Final[dict[tuple[FactKind, ...], str]] = {
    (FactKind.BPM,): "bpm",
    (FactKind.TEMPO_WORD,): "word",
    (FactKind.BPM, FactKind.TEMPO_WORD): "both",
}
GIVEN_BANKS: Final = {FactKind.INSTRUMENT: "instruments", FactKind.MOOD: "moods"}

Stated: TypeAlias = tuple[tuple[FactKind, str], ...]


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
        place = sentence.find(joint)
        while place >= 0:
            rest = sentence[place + len(joint) :]
            parts = [
                _as_one(sentence[:place] + ".", given),
                _as_one(rest[:1].upper() + rest[1:], given),
            ]
            found = [part for part in parts if part]
            if len(found) == 2:
                return found
            place = sentence.find(joint, place + 1)
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
        items = tuple(value for other, value in given if other is kind)
        if items and any(
            fill(wording, Slots(items=items)) == sentence for wording in WORDINGS[bank]
        ):
            return Recognised(
                sentence, bank, Slots(items=items), tuple((kind, item) for item in items)
            )
    facts = stated(sentence)
    bank, slots = _bank_of(sentence, facts)
    if bank and any(fill(wording, slots) == sentence for wording in WORDINGS[bank]):
        return Recognised(sentence, bank, slots, facts)
    return None


def _bank_of(sentence: str, facts: Stated) -> tuple[str, Slots]:
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
    if kinds == (FactKind.TIMED_CHORDS,):
        return _timed_bank(sentence, value)
    if kinds == (FactKind.CHORDS,):
        return _chord_bank(sentence, value)
    return value if kinds == (FactKind.DYNAMICS,) else "", Slots()


def _timed_bank(sentence: str, value: str) -> tuple[str, Slots]:
    starts = tuple(one.partition("@")[2] for one in value.split())
    symbols: Sequence[str] = CHORD.findall(sentence)
    if len(symbols) != len(starts):
        return "", Slots()
    return "timed", Slots(chords=tuple(symbols), starts=starts)


def _chord_bank(sentence: str, value: str) -> tuple[str, Slots]:
    listed = max(CHORD_LIST.findall(sentence), key=len, default="")
    symbols = tuple(listed.replace(" and ", ", ").replace(" – ", ", ").split(", "))
    rounds, rest = divmod(len(value.split()), len(symbols))
    if rounds > 1 and not rest:
        return "rounds" if rounds in ROUND_TIMES else "", Slots(chords=symbols, rounds=rounds)
    return "chords" if len(symbols) > 1 else "chord", Slots(chords=symbols)
