"""Instruments, moods and genres that a source's metadata give, and the prompts made of them.

The prompts take the two forms that Stable Audio describes (Evans et al., "Fast Timing-Conditioned
Latent Audio Diffusion", ICML 2024): properties with their names, "Instruments: piano | Moods:
calm", and bare lists, "calm, piano".
"""

import ast
import json
import re
from collections import Counter
from typing import Any, Final, NamedTuple

import numpy as np

from pipelines.captioning.facts import parse_facts, stated
from pipelines.captioning.recognising import GIVEN_BANKS
from pipelines.captioning.sentences import Attribute, ControlSentence, available, key_name, worded
from pipelines.captioning.slots import Slots
from pipelines.captioning.splitting import clean_text, split_sentences
from schemas.caption import Caption, CaptionKind, Fact, FactKind
from schemas.corpus import Source
from schemas.labels import Labels
from schemas.pitch import pretty
from schemas.recipe import CaptionRecipe

MAX_ITEMS: Final = 12
MAX_ITEM_CHARS: Final = 40
_MAX_CELL_CHARS: Final = 10_000  # of a list in a cell; a longer one is no list of names
_SEPARATORS: Final = re.compile(r"[,;|]")
# a stop would end our sentence, a bar or colon our field
_STOPS: Final = re.compile(r"[.!?…:]+(?=\s|$)|[\"“”\[\](){}|;,:]+")
_SPACE: Final = re.compile(r"\s+")
# An item must state nothing about the labels on its own, nor as a word for the music, the tempo or
# a chord.
_PROBES: Final = ("{}", "The music is {}.", "The tempo is {}.", "Chords: {}", "Key: {}")
_LABEL_SHARE: Final = 0.5  # chance that a prompt names the tempo, and the key
_FREE_SHARE: Final = 0.5


class Metadata(NamedTuple):
    """Names that a source gives; `counts` says how many items were dropped, by reason
    ("metadata_dropped_tempo").
    """

    instruments: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        """Whether the source names anything."""
        return bool(self.instruments or self.moods or self.genres)


def read_metadata(source: Source, recipe: CaptionRecipe) -> Metadata:
    """Instruments, moods and genres of a source, from the columns that the recipe names, cleaned
    and in lower case.

    >>> source = Source(uri="a.wav", genre="Jazz", metadata='{"moods": "Calm; 120 BPM"}')
    >>> found = read_metadata(source, CaptionRecipe())
    >>> found.moods, found.genres, found.counts
    (('calm',), ('jazz',), (('metadata_dropped_bpm', 1),))
    """
    columns = _columns(source.metadata)
    counts: Counter[str] = Counter()
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


def metadata_sentences(
    metadata: Metadata, recipe: CaptionRecipe, rng: np.random.Generator, counts: Counter[str]
) -> list[ControlSentence]:
    """A sentence that names instruments, one that names moods, or none: each by its own draw."""
    out: list[ControlSentence] = []
    for kind, items in (
        (FactKind.INSTRUMENT, metadata.instruments),
        (FactKind.MOOD, metadata.moods),
    ):
        if not items or rng.random() >= recipe.metadata_share:
            continue
        order = _shuffled(items, rng)
        sentence = worded(
            GIVEN_BANKS[kind], Slots(items=order), tuple((kind, item) for item in order), rng
        )
        # Together, the items may read like a claim about the labels; the last may be short for
        # something ("dr") and not end the sentence.
        if stated(sentence.text) or split_sentences(f"{sentence.text} It") != (sentence.text, "It"):
            counts[f"control_left_out_{sentence.attribute}"] += 1
        else:
            out.append(sentence)
    return out


def metadata_prompts(
    metadata: Metadata,
    labels: Labels,
    recipe: CaptionRecipe,
    rng: np.random.Generator,
    counts: Counter[str],
) -> list[Caption]:
    """Up to `recipe.metadata_prompts` different prompts of the metadata, with the tempo and key
    where the labels are sure of them.
    """
    out: dict[str, Caption] = {}
    for _ in range(recipe.metadata_prompts if metadata else 0):
        text, facts = _prompt(metadata, labels, recipe, rng)
        read = stated(text)
        if read != tuple(fact for fact in facts if fact[0] not in GIVEN_BANKS) or split_sentences(
            text
        ) != (text,):
            counts["metadata_prompt_refused"] += 1
            continue
        placed = tuple(Fact(kind=kind, value=value, sentence=0) for kind, value in facts)
        out.setdefault(
            text, Caption(text=text, kind=CaptionKind.METADATA, sentences=(text,), facts=placed)
        )
    return list(out.values())


def _prompt(
    metadata: Metadata, labels: Labels, recipe: CaptionRecipe, rng: np.random.Generator
) -> tuple[str, tuple[tuple[FactKind, str], ...]]:
    """One prompt and its facts, those that can be read back first."""
    fields = [
        (name, items)
        for name, items in zip(("Instruments", "Moods", "Genre"), metadata[:3], strict=True)
        if items
    ]
    number = 1 + int(rng.random() * len(fields))
    chosen = {
        fields[place][0]: _some(fields[place][1], rng)
        for place in rng.permutation(len(fields))[:number].tolist()
    }
    may = available(labels, recipe)
    facts: list[tuple[FactKind, str]] = []
    shown: dict[str, str] = {}
    if Attribute.TEMPO in may and rng.random() < _LABEL_SHARE:
        shown["BPM"] = str(round(labels.tempo.bpm or 0.0))
        facts.append((FactKind.BPM, shown["BPM"]))
    if Attribute.KEY in may and rng.random() < _LABEL_SHARE:
        facts.append((FactKind.KEY, key_name(labels)))
        shown["Key"] = pretty(key_name(labels))
    facts += [(FactKind.INSTRUMENT, item) for item in chosen.get("Instruments", ())]
    facts += [(FactKind.MOOD, item) for item in chosen.get("Moods", ())]
    if rng.random() < _FREE_SHARE:
        upper = rng.random() < 0.5
        parts = [item.upper() if upper else item for items in chosen.values() for item in items]
        parts += [f"{shown['BPM']} BPM"] if "BPM" in shown else []
        parts += [f"Key: {shown['Key']}"] if "Key" in shown else []
        return ", ".join(_shuffled(tuple(parts), rng)), tuple(facts)
    named = tuple(
        f"{name}: {text}"
        for name, text in (
            {name: ", ".join(items) for name, items in chosen.items()} | shown
        ).items()
    )
    return " | ".join(_shuffled(named, rng)), tuple(facts)


def _some(items: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    """A random subset in random order, one item at least."""
    return _shuffled(items, rng)[: 1 + int(rng.random() * len(items))]


def _shuffled(items: tuple[str, ...], rng: np.random.Generator) -> tuple[str, ...]:
    return tuple(items[place] for place in rng.permutation(len(items)).tolist())


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


def _cleaned(items: list[str], counts: Counter[str]) -> tuple[str, ...]:
    """The first items that may stand in a caption, each once; the others are counted by what is
    wrong with them.
    """
    out: dict[str, None] = {}
    for item in items:
        name = _SPACE.sub(" ", _STOPS.sub(" ", clean_text(item))).strip(" -–—'’/&").lower()
        if not name or name in out:
            continue
        fault = _fault(name, len(out))
        if fault:
            counts[f"metadata_dropped_{fault}"] += 1
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
