"""Instruments, moods and genres that a source's metadata give, and the prompts made of them.

The prompts take the two forms that Stable Audio describes (Evans et al., "Fast Timing-Conditioned
Latent Audio Diffusion", ICML 2024): properties with their names, "Instruments: piano | Moods:
calm", and bare lists, "calm, piano".
"""

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from pipelines.captioning.facts import parse_facts, stated
from pipelines.captioning.recognising import GIVEN_BANKS
from pipelines.captioning.sentences import Attribute, ControlSentence, available, worded
from pipelines.captioning.slots import Slots
from pipelines.captioning.splitting import clean_text, split_sentences
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Source
from schemas.counts import CaptionCount, CaptionEvent
from schemas.fact import BpmFact, Fact, InstrumentFact, KeyFact, MoodFact
from schemas.labels import Labels
from schemas.pitch import pretty
from schemas.recipe import CaptionRecipe

MAX_ITEMS: Final = 12
MAX_ITEM_CHARS: Final = 40
_MAX_CELL_CHARS: Final = 10_000  # of a list in a cell; a longer one is not a list of names
_SEPARATORS: Final = re.compile(r"[,;|]")
# a stop would end our sentence, a bar or colon our field
_STOPS: Final = re.compile(r"[.!?…:]+(?=\s|$)|[\"“”\[\](){}|;,:]+")
_SPACE: Final = re.compile(r"\s+")
# An item must state nothing about the labels on its own, nor as a word for the music, the tempo or
# a chord.
_PROBES: Final = ("{}", "The music is {}.", "The tempo is {}.", "Chords: {}", "Key: {}")
_LABEL_SHARE: Final = 0.5  # chance that a prompt names the tempo, and the key
_FREE_SHARE: Final = 0.5
T = TypeVar("T")


class Metadata(NamedTuple):
    """Names that a source gives; `counts` says how many items were dropped, by what is wrong with
    them.
    """

    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    counts: tuple[tuple[CaptionCount, int], ...] = ()

    def __bool__(self) -> bool:
        """Whether the source names anything."""
        return bool(self.instruments or self.moods or self.genres)


def read_metadata(source: Source, recipe: CaptionRecipe) -> Metadata:
    """Instruments, moods and genres of a source, from the columns that the recipe names, cleaned
    and in lower case.

    >>> source = Source(uri="a.wav", genre="Jazz", metadata='{"moods": "Calm; 120 BPM"}')
    >>> found = read_metadata(source, CaptionRecipe())
    >>> found.moods, found.genres, [(counted.about, count) for counted, count in found.counts]
    (('calm',), ('jazz',), [('bpm', 1)])
    """
    columns = _columns(source.metadata)
    counts: Counter[CaptionCount] = Counter()
    named = recipe.metadata_columns
    genres = [source.genre] if source.genre else []
    genres += [
        item
        for name in ("genre", "genres")
        if name in named
        for item in listed(columns.get(named[name]))
    ]
    return Metadata(
        _cleaned(listed(columns.get(named.get("instruments", ""))), counts),
        _cleaned(listed(columns.get(named.get("moods", ""))), counts),
        _cleaned([part for genre in genres for part in _SEPARATORS.split(genre)], counts),
        tuple(sorted(counts.items())),
    )


def together(one: Metadata, other: Metadata) -> Metadata:
    """What holds of two sounds at once: the instruments of both, the moods and genres that both
    have.

    >>> band, choir = Metadata(("drums",), ("calm", "warm")), Metadata(("voices",), ("warm",))
    >>> together(band, choir)[:2]
    (('drums', 'voices'), ('warm',))
    """
    instruments = tuple(dict.fromkeys((*one.instruments, *other.instruments)))[:MAX_ITEMS]
    moods = tuple(mood for mood in one.moods if mood in other.moods)
    genres = tuple(genre for genre in one.genres if genre in other.genres)
    return Metadata(instruments, moods, genres)


def metadata_sentences(
    metadata: Metadata,
    recipe: CaptionRecipe,
    rng: np.random.Generator,
    counts: Counter[CaptionCount],
) -> list[ControlSentence]:
    """A sentence that names instruments, one that names moods, or none: each chosen on its own."""
    out: list[ControlSentence] = []
    for named in (_instruments(metadata.instruments), _moods(metadata.moods)):
        if not named or rng.random() >= recipe.metadata_share:
            continue
        order = _shuffled(named, rng)
        items = tuple(fact.text for fact in order)
        sentence = worded(GIVEN_BANKS[order[0].kind], Slots(items=items), order, rng)
        # Together, the items may read like a claim about the labels; the last may be short for
        # something ("dr") and not end the sentence.
        if stated(sentence.text) or split_sentences(f"{sentence.text} It") != (sentence.text, "It"):
            counts[CaptionCount(CaptionEvent.CONTROL_LEFT_OUT, sentence.attribute)] += 1
        else:
            out.append(sentence)
    return out


def metadata_prompts(
    metadata: Metadata,
    labels: Labels,
    recipe: CaptionRecipe,
    rng: np.random.Generator,
    counts: Counter[CaptionCount],
) -> list[Caption]:
    """Up to `recipe.metadata_prompts` different prompts of the metadata, with the tempo and key
    where the labels are sure of them.
    """
    out: dict[str, Caption] = {}
    for _ in range(recipe.metadata_prompts if metadata else 0):
        text, facts = _prompt(metadata, labels, recipe, rng)
        can_be_read = tuple(fact for fact in facts if fact.kind not in GIVEN_BANKS)
        if stated(text) != can_be_read or split_sentences(text) != (text,):
            counts[CaptionCount(CaptionEvent.METADATA_PROMPT_REFUSED)] += 1
            continue
        out.setdefault(
            text, Caption(text=text, kind=CaptionKind.METADATA, sentences=(text,), facts=facts)
        )
    return list(out.values())


class _Prompt(NamedTuple):
    """One prompt and its facts, those that can be read back first."""

    text: str
    facts: tuple[Fact, ...]


def _prompt(
    metadata: Metadata, labels: Labels, recipe: CaptionRecipe, rng: np.random.Generator
) -> _Prompt:
    """Some of the names, perhaps the tempo and key, with the names of their fields or without."""
    chosen = _chosen(metadata, rng)
    of_labels = _label_facts(labels, recipe, rng)
    given = (*_instruments(chosen.get("Instruments", ())), *_moods(chosen.get("Moods", ())))
    text = (
        _bare(chosen, of_labels, rng)
        if rng.random() < _FREE_SHARE
        else _with_fields(chosen, of_labels, rng)
    )
    return _Prompt(text, (*of_labels, *given))


def _chosen(metadata: Metadata, rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Some of the fields that have names, each with some of them."""
    fields = {
        "Instruments": metadata.instruments,
        "Moods": metadata.moods,
        "Genre": metadata.genres,
    }
    filled = [(name, items) for name, items in fields.items() if items]
    number = 1 + int(rng.random() * len(filled))
    order = rng.permutation(len(filled))[:number].tolist()
    return {filled[index][0]: _some(filled[index][1], rng) for index in order}


def _label_facts(
    labels: Labels, recipe: CaptionRecipe, rng: np.random.Generator
) -> tuple[BpmFact | KeyFact, ...]:
    """The tempo and the key where the labels are sure of them, each chosen on its own."""
    may = available(labels, recipe)
    out: list[BpmFact | KeyFact] = []
    if Attribute.TEMPO in may and rng.random() < _LABEL_SHARE:
        out.append(BpmFact(bpm=round(labels.tempo.bpm or 0.0)))
    if Attribute.KEY in may and rng.random() < _LABEL_SHARE and labels.key.key is not None:
        out.append(KeyFact.of(labels.key.key))
    return tuple(out)


def _bare(
    chosen: dict[str, tuple[str, ...]],
    of_labels: Sequence[BpmFact | KeyFact],
    rng: np.random.Generator,
) -> str:
    """A bare list: "calm, piano, 90 BPM"."""
    upper = rng.random() < 0.5
    names = [item for items in chosen.values() for item in items]
    parts = [item.upper() if upper else item for item in names]
    for fact in of_labels:
        parts.append(
            f"{fact.text} BPM" if isinstance(fact, BpmFact) else f"Key: {pretty(fact.text)}"
        )
    return ", ".join(_shuffled(tuple(parts), rng))


def _with_fields(
    chosen: dict[str, tuple[str, ...]],
    of_labels: Sequence[BpmFact | KeyFact],
    rng: np.random.Generator,
) -> str:
    """Fields with their names: "Moods: calm | BPM: 90"."""
    parts = [f"{name}: {', '.join(items)}" for name, items in chosen.items()]
    for fact in of_labels:
        parts.append(
            f"BPM: {fact.text}" if isinstance(fact, BpmFact) else f"Key: {pretty(fact.text)}"
        )
    return " | ".join(_shuffled(tuple(parts), rng))


def _instruments(names: Sequence[str]) -> tuple[Fact, ...]:
    return tuple(InstrumentFact(instrument=name) for name in names)


def _moods(names: Sequence[str]) -> tuple[Fact, ...]:
    return tuple(MoodFact(mood=name) for name in names)


def _some(items: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    """A random subset in random order, one item at least."""
    return _shuffled(items, rng)[: 1 + int(rng.random() * len(items))]


def _shuffled(items: tuple[T, ...], rng: np.random.Generator) -> tuple[T, ...]:
    return tuple(items[index] for index in rng.permutation(len(items)).tolist())


def _columns(metadata: str) -> dict[str, Any]:
    try:
        found = json.loads(metadata)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def listed(value: Any) -> list[str]:
    """Names of a cell: a list, a list written as JSON or as Python, or names with separators
    between; anything else has none.
    """
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _MAX_CELL_CHARS:
            return []
        value = (_literal(text) if text.startswith(("[", "(")) else None) or _SEPARATORS.split(text)
    if not isinstance(value, list | tuple):
        return []
    return [item for item in value if isinstance(item, str)]


def _literal(text: str) -> list[Any] | tuple[Any, ...] | None:
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(found, list | tuple):
            return found
    return None


def _cleaned(items: list[str], counts: Counter[CaptionCount]) -> tuple[str, ...]:
    """The first items that may stand in a caption, each once.

    The others are counted by what is wrong with them.
    """
    out: dict[str, None] = {}
    for item in items:
        name = _SPACE.sub(" ", _STOPS.sub(" ", clean_text(item))).strip(" -–—'’/&").lower()
        if not name or name in out:
            continue
        fault = _fault(name, len(out))
        if fault:
            counts[CaptionCount(CaptionEvent.METADATA_DROPPED, fault)] += 1
        else:
            out[name] = None
    return tuple(out)


def _fault(name: str, kept: int) -> str:
    if kept == MAX_ITEMS:
        return "too_many"
    if len(name) > MAX_ITEM_CHARS:
        return "too_long"
    facts = [
        fact
        for probe in _PROBES
        for text in (name, name.upper())
        for fact in parse_facts(probe.format(text))
    ]
    return facts[0].kind.value if facts else ""
