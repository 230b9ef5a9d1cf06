"""What a segment is said to be, from its fields: tags, a line, a paragraph.

Nothing is taken from composed captions but the source's own words, and of those no sentence that
the segment's labels deny, or that speaks of the sample as a whole where the segment is a part of
it. What labels are not sure of (`caption.min_…_confidence`) is in no text.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.captioning.check import contradiction, disagree
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.metadata import Metadata, metadata_sentences
from pipelines.captioning.sentences import (
    ATTRIBUTE_OF,
    Attribute,
    ControlSentence,
    available,
    control_sentence,
    dynamics_sentence,
)
from pipelines.captioning.slots import and_list
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.fact import Fact, FactKind
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe

# what a source says of its clip's whole length, and not of each part
_OF_THE_WHOLE: Final = frozenset(
    (FactKind.TIME, FactKind.TIMED_CHORDS, FactKind.CHORDS, FactKind.DYNAMICS)
)
_EIGHTHS: Final = (6, 9, 12)  # beats of these bars are eighth notes
# T5's vocabulary has no ♭ and no ♯
_ASCII: Final = str.maketrans({"♭": "b", "♯": "#"})
_PIECE: Final = re.compile(r"[^\W\d_]+|\S")
_LETTERS_A_TOKEN: Final = 3  # English has four to five
_LINE_INSTRUMENTS, _LINE_MOODS = 3, 2


class Registers(NamedTuple):
    """One segment in three registers; all empty where nothing is known of it."""

    tags: str  # "jazz, piano, calm, 92 BPM, A minor, 3/4"
    line: str  # one sentence
    paragraph: str  # the source's words and a sentence for each fact

    @property
    def different(self) -> tuple[str, ...]:
        """The texts that are there, each once."""
        return tuple(dict.fromkeys(text for text in self if text))


class Described(NamedTuple):
    """A segment to put into words: its labels, what its source says, and the change made to it."""

    labels: Labels
    is_whole: bool  # of its sample
    captions: tuple[Caption, ...]
    metadata: Metadata
    change: Change


class _RankedText(NamedTuple):
    """A text and its rank: of what does not fit, the highest ranks go first."""

    text: str
    rank: float


def segment_texts(
    segment: Described,
    recipe: CaptionRecipe,
    rng: np.random.Generator,
    *,
    apart: Collection[FactKind],
    most_tokens: int,
) -> Registers:
    """The texts of a segment, of `most_tokens` at most; facts of the kinds `apart` are in none."""
    may = _sayable(segment.labels, recipe, apart)
    return Registers(
        _tags(segment, may, apart, most_tokens),
        _line(segment, may, apart, most_tokens),
        _paragraph(segment, may, recipe, rng, apart, most_tokens),
    )


def tokens_at_most(text: str) -> int:
    """About how many tokens a text is, on the safe side of what T5 and Qwen make of English.

    A figure, a sign and each byte of what is not ASCII count as one, a word as one for three
    letters.

    >>> tokens_at_most("It runs at 120 BPM."), tokens_at_most("A♭")
    (9, 4)
    """
    return sum(map(_tokens, _PIECE.findall(text)))


def _tokens(piece: str) -> int:
    return math.ceil(len(piece) / _LETTERS_A_TOKEN) if piece.isascii() else len(piece.encode())


def _sayable(
    labels: Labels, recipe: CaptionRecipe, apart: Collection[FactKind]
) -> tuple[Attribute, ...]:
    """What labels are sure of and no field says, the surest first."""
    kept = {ATTRIBUTE_OF[kind] for kind in apart}
    sure = {
        Attribute.TEMPO: labels.tempo.confidence,
        Attribute.METER: labels.meter.confidence,
        Attribute.KEY: labels.key.confidence,
        Attribute.CHORDS: labels.chords.confidence,
    }
    may = [attribute for attribute in available(labels, recipe) if attribute not in kept]
    return tuple(sorted(may, key=lambda attribute: -sure[attribute]))


def meter_sign(beats: int) -> str:
    """A meter as it is written: ``3/4``, ``6/8``."""
    return f"{beats}/{8 if beats in _EIGHTHS else 4}"


def _names(labels: Labels, may: Sequence[Attribute]) -> dict[Attribute, str]:
    """Tempo, key and meter in short, the surest first."""
    key = labels.key.key
    short = {
        Attribute.TEMPO: f"{round(labels.tempo.bpm or 0)} BPM",
        Attribute.KEY: key.name if key else "",
        Attribute.METER: meter_sign(labels.meter.beats_per_bar or 0),
    }
    return {attribute: short[attribute] for attribute in may if attribute in short}


def _tags(
    segment: Described, may: Sequence[Attribute], apart: Collection[FactKind], most_tokens: int
) -> str:
    given = (*segment.metadata.genres, *segment.metadata.instruments, *segment.metadata.moods)
    facts = tuple(_names(segment.labels, may).values())
    tags = list(dict.fromkeys(given)) + list(facts)
    text = ", ".join(_fitting(tags, most_tokens))
    return text if _holds(text, segment.labels, apart) else ", ".join(facts)


def _line(
    segment: Described, may: Sequence[Attribute], apart: Collection[FactKind], most_tokens: int
) -> str:
    meta, names = segment.metadata, _names(segment.labels, may)
    phrases = {Attribute.TEMPO: "at {}", Attribute.KEY: "in {}", Attribute.METER: "in {} time"}
    facts = [phrases[attribute].format(name) for attribute, name in names.items()]
    head = meta.genres[0][:1].upper() + meta.genres[0][1:] if meta.genres else "Music"
    if meta.instruments:
        head += f" with {and_list(meta.instruments[:_LINE_INSTRUMENTS])}"
    text = _sentence([head, *meta.moods[:_LINE_MOODS], *facts], most_tokens)
    if _holds(text, segment.labels, apart):
        return text
    return _sentence(["Music", *facts], most_tokens)


def _sentence(parts: Sequence[str], most_tokens: int) -> str:
    """Parts as one sentence, as far as they fit; none where all it says is that there is music."""
    fitting = _fitting(parts, most_tokens - 1)
    return "" if fitting in ([], ["Music"]) else f"{', '.join(fitting)}."


def _fitting(parts: Sequence[str], most_tokens: int) -> list[str]:
    """The first parts, with commas between, that fit."""
    out: list[str] = []
    for part in parts:
        if tokens_at_most(", ".join([*out, part])) > most_tokens:
            break
        out.append(part)
    return out


def _paragraph(
    segment: Described,
    may: Sequence[Attribute],
    recipe: CaptionRecipe,
    rng: np.random.Generator,
    apart: Collection[FactKind],
    most_tokens: int,
) -> str:
    sources = [caption for caption in segment.captions if caption.kind is CaptionKind.SOURCE]
    source = sources[int(rng.random() * len(sources))] if sources else None
    claims: list[Fact] = []
    words: list[_RankedText] = []
    for sentence, facts in _source_sentences(source, segment, apart):
        claims += facts
        # the first names the music; what more a source has to say ranks after all facts
        words.append(_RankedText(sentence, 100.0 if words else 0.0))
    ours = [
        _RankedText(said.text, rank)
        for rank, said in enumerate(_sentences(segment, may, recipe, rng), start=1)
        if not _is_said(said, claims)
    ]
    text = _joined([*words, *ours], most_tokens)
    return text if _holds(text, segment.labels, apart) else _joined(ours, most_tokens)


def _source_sentences(
    source: Caption | None, segment: Described, apart: Collection[FactKind]
) -> Iterator[tuple[str, list[Fact]]]:
    """The source's sentences that hold for the segment, each with its facts."""
    for index, sentence in enumerate(source.sentences if source else ()):
        facts = [fact for fact in source.facts if fact.sentence == index] if source else []
        kinds = {fact.kind for fact in facts}
        if kinds & set(apart) or (not segment.is_whole and kinds & _OF_THE_WHOLE):
            continue
        if not any(contradiction(fact, segment.labels) for fact in facts):
            yield sentence, facts


def _sentences(
    segment: Described,
    may: Sequence[Attribute],
    recipe: CaptionRecipe,
    rng: np.random.Generator,
) -> Iterator[ControlSentence]:
    """Sentences of ours: the labels' surest facts first, then metadata and dynamics."""
    labels = segment.labels
    if Attribute.KEY not in available(labels, recipe):  # chords are spelled in a key that is sure
        labels = labels.replaced(key=labels.key.replaced(tonic=None, mode=None))
    for attribute in may:
        yield control_sentence(attribute, labels, recipe, rng)
    yield from metadata_sentences(
        segment.metadata, recipe.replaced(metadata_share=1.0), rng, Counter()
    )
    if dynamics := dynamics_sentence(segment.change, rng):
        yield dynamics


def _is_said(said: ControlSentence, claims: Sequence[Fact]) -> bool:
    """Whether the source's own words say it already, or do not go with it."""
    stated = {fact.kind for fact in claims}
    return any(
        fact.kind in stated or any(disagree(fact, claim) for claim in claims) for fact in said.facts
    )


def _joined(pieces: Sequence[_RankedText], most_tokens: int) -> str:
    """The best-ranked sentences that fit, in their order."""
    kept: set[int] = set()
    left = most_tokens
    for index in sorted(range(len(pieces)), key=lambda at: pieces[at].rank):
        needed = tokens_at_most(pieces[index].text.translate(_ASCII))
        if needed <= left:
            kept.add(index)
            left -= needed
    return " ".join(pieces[index].text for index in sorted(kept)).translate(_ASCII)


def _holds(text: str, labels: Labels, apart: Collection[FactKind]) -> bool:
    """Whether what a text states, read as anybody would, is true and not of the kinds apart."""
    return not any(fact.kind in apart or contradiction(fact, labels) for fact in parse_facts(text))
