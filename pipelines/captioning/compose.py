"""The captions of one sample that need no rewording: its sources moved, prompts of metadata, the
control caption.
"""

import re
from collections import Counter
from typing import Final

import numpy as np
from pydantic import Field

from pipelines.captioning.check import contradiction, disagree
from pipelines.captioning.metadata import Metadata, metadata_prompts, metadata_sentences
from pipelines.captioning.moving import MovedText, moved_text
from pipelines.captioning.paraphrase import captioned
from pipelines.captioning.recognising import JOINTS, joined
from pipelines.captioning.sentences import (
    ATTRIBUTE_OF,
    ControlSentence,
    draw_sentences,
    dynamics_sentence,
)
from pipelines.captioning.splitting import clean_text, split_sentences
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.counts import CaptionCount, CaptionEvent
from schemas.fact import Fact, FactKind
from schemas.identity import keyed_rng
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe
from schemas.record import Record

_RANK: Final = {kind: rank for rank, kind in enumerate(FactKind)}  # the order of a sentence's facts
_JOIN_SHARE: Final = 0.25
_NO_METADATA: Final = Metadata()
_ENDED: Final = re.compile(r"[.!?…][\"'”’)\]]*$")


class ComposedCaptions(Record):
    """Captions of one sample, and how often each rule acted."""

    captions: tuple[Caption, ...] = ()
    counts: dict[CaptionCount, int] = Field(default_factory=dict)


def compose_captions(
    sources: tuple[str, ...],
    labels: Labels,
    change: Change,
    recipe: CaptionRecipe,
    seed: int,
    key: str,
    metadata: Metadata = _NO_METADATA,
) -> ComposedCaptions:
    """Captions of the sample `key`, which is its clip under `change`; `labels` are the sample's
    own, already moved.

    Every source caption is listed as it holds after the change, then prompts of the metadata. The
    control caption is one of the sources, chosen at random, followed by control sentences about the
    metadata and the labels; without a source it is control sentences alone, and without those
    either there is none. A control sentence that the source's own words contradict is left out: on
    the original, the source stands as it is.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> kinds = dict(beats=Beats, meter=Meter, chords=Chords, key=KeyLabel)
    >>> empty = {name: kind(**how) for name, kind in kinds.items()} | {"duration_s": 10}
    >>> labels = Labels(tempo=Tempo(bpm=120, **how), **empty)
    >>> recipe = CaptionRecipe(sentences=(0, 1), bpm_share=1)
    >>> key = "00112233445566aa-0-10000-orig"
    >>> made = compose_captions(("A flute plays.",), labels, Change(), recipe, 0, key)
    >>> [caption.kind.value for caption in made.captions], made.captions[1].facts[0].bpm
    (['source', 'control'], 120.0)
    """
    rng = keyed_rng(seed, key, "caption")
    counts: Counter[CaptionCount] = Counter()
    moved = _moved_sources(sources, labels, change, counts) if sources else []
    listed = [
        Caption(text=one.text, kind=CaptionKind.SOURCE, sentences=one.sentences, facts=one.facts)
        for one in moved
    ]
    control_source = listed[int(rng.random() * len(listed))] if listed else None
    written = draw_sentences(labels, recipe, rng, at_least=0 if listed else 1)
    dynamics = dynamics_sentence(change, rng)
    if dynamics:
        written.insert(int(rng.random() * (len(written) + 1)), dynamics)
    kept = _perhaps_joined(
        [sentence for sentence in written if not _left_out(sentence, control_source, counts)], rng
    )
    if metadata:
        of_metadata = keyed_rng(seed, key, "metadata")
        kept = metadata_sentences(metadata, recipe, of_metadata, counts) + kept
        listed += metadata_prompts(metadata, labels, recipe, of_metadata, counts)
    if kept:
        listed.append(_control(control_source, kept))
    return ComposedCaptions(captions=tuple(listed), counts=dict(counts))


def _perhaps_joined(
    sentences: list[ControlSentence], rng: np.random.Generator
) -> list[ControlSentence]:
    """The sentences with the first two as one, at random, where the second can follow."""
    if len(sentences) < 2 or rng.random() >= _JOIN_SHARE:
        return sentences
    first, second, *rest = sentences
    text = joined(first.text, second.text, JOINTS[int(rng.random() * len(JOINTS))])
    if not text:
        return sentences
    facts = tuple(sorted(first.facts + second.facts, key=lambda fact: _RANK[fact.kind]))
    return [ControlSentence(first.attribute, text, facts), *rest]


def _control(source: Caption | None, written: list[ControlSentence]) -> Caption:
    """A source followed by sentences of ours, whose facts are known and need not be read again."""
    ours = [sentence.text for sentence in written]
    if source is None:
        return _placed((), (), written)
    ended = _ended(source.text)
    begun = source if ended == source.text else captioned(ended, CaptionKind.SOURCE)
    last = begun.sentences[-1]
    if split_sentences(f"{last} {ours[0]}") == (last, ours[0]):
        return _placed(begun.sentences, begun.facts, written)
    # The source's last stop ends no sentence now that another follows ("by J. S."): read the whole,
    # as any reader would.
    given = [fact for sentence in written for fact in sentence.facts]
    return captioned(" ".join([ended, *ours]), CaptionKind.CONTROL, given)


def _placed(
    sentences: tuple[str, ...], facts: tuple[Fact, ...], written: list[ControlSentence]
) -> Caption:
    """The control caption of sentences with their facts, and of ours after them."""
    whole = (*sentences, *(sentence.text for sentence in written))
    ours: list[Fact] = []
    for index, sentence in enumerate(written, start=len(sentences)):
        ours += [fact.at(index) for fact in sentence.facts]
    return Caption(
        text=" ".join(whole), kind=CaptionKind.CONTROL, sentences=whole, facts=(*facts, *ours)
    )


def _moved_sources(
    sources: tuple[str, ...], labels: Labels, change: Change, counts: Counter[CaptionCount]
) -> list[MovedText]:
    """Source captions as they hold after the change, each text once, empty ones not at all."""
    key = labels.key.key
    out: dict[str, MovedText] = {}
    for source in dict.fromkeys(clean_text(source) for source in sources):
        if not source:
            continue
        moved = moved_text(source, change, labels.duration_s, key)
        counts.update(moved.counts)
        denied = [fact for fact in moved.facts if contradiction(fact, labels)]
        counts.update(
            CaptionCount(CaptionEvent.SOURCE_CONTRADICTS, _family(fact)) for fact in denied
        )
        if moved.text:
            out.setdefault(moved.text, moved)
        else:
            counts[CaptionCount(CaptionEvent.SOURCE_DROPPED)] += 1
    return list(out.values())


def _left_out(
    sentence: ControlSentence, source: Caption | None, counts: Counter[CaptionCount]
) -> bool:
    """Whether the source's own words contradict a control sentence, which is then counted and left
    out.
    """
    claims = source.facts if source else ()
    if not claims:
        return False
    if any(disagree(fact, claim) for fact in sentence.facts for claim in claims):
        counts[CaptionCount(CaptionEvent.CONTROL_LEFT_OUT, sentence.attribute)] += 1
        return True
    return False


def _family(fact: Fact) -> str:
    """What a fact is about: both number and word are about the tempo."""
    return ATTRIBUTE_OF[fact.kind].value if fact.kind in ATTRIBUTE_OF else fact.kind.value


def _ended(text: str) -> str:
    """A text that ends as a sentence does, so that another can follow."""
    return text if _ENDED.search(text) else f"{text.rstrip(',;:–—- ')}."
