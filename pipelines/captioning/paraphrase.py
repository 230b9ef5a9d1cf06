"""Captions of a text, and paraphrases of a control caption by rules, offline."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Final

import numpy as np

from pipelines.captioning.facts import facts_of
from pipelines.captioning.recognising import (
    GIVEN_BANKS,
    JOINTS,
    Recognised,
    Stated,
    joined,
    own_parts,
)
from pipelines.captioning.sentences import worded
from pipelines.captioning.splitting import split_sentences
from schemas.caption import Caption, CaptionKind
from schemas.fact import Fact

_REWORD_SHARE: Final = 0.8  # the rest keeps its wording, so that order and joints alone vary too
_JOIN_SHARE: Final = 0.5


def captioned(text: str, kind: CaptionKind, given: Sequence[Fact] = ()) -> Caption:
    """A caption of a text, with the sentences and facts that are found in it.

    Of `given`, the facts of another caption with the same meaning, instruments and moods are taken
    over, which no parser finds: each stands in the sentence that names most of its kind, the last
    of several, and those that no sentence names are left out.

    >>> captioned("It is in A minor.", CaptionKind.CONTROL).facts[0].key.name
    'A minor'
    >>> from schemas.fact import InstrumentFact
    >>> known = InstrumentFact(instrument="harp")
    >>> text = "It is odd. You can hear harp."
    >>> [fact.sentence for fact in captioned(text, CaptionKind.PARAPHRASE, [known]).facts]
    [1]
    """
    sentences = split_sentences(text)
    facts = (*facts_of(sentences), *_found_again(sentences, given))
    return Caption(
        text=" ".join(sentences),
        kind=kind,
        sentences=sentences,
        facts=tuple(sorted(facts, key=lambda fact: fact.sentence)),
    )


def paraphrased(caption: Caption, count: int, rng: np.random.Generator) -> list[str]:
    """Up to `count` different rewordings: other wordings of the same values, two sentences joined,
    the source's own in between.

    There are none where the caption does not end in sentences of ours.

    >>> rng = np.random.default_rng(1)
    >>> text = "A flute plays. The tempo is 92 BPM. It is in the key of A minor."
    >>> control = captioned(text, CaptionKind.CONTROL)
    >>> [text] = paraphrased(control, 1, rng)
    >>> "A flute plays." in text and "92" in text
    True
    """
    found = [
        own_parts(sentence, _given_of(caption, number))
        for number, sentence in enumerate(caption.sentences)
    ]
    # ours follow the source's, which may use our very words: those stay
    trailing = list(takewhile(bool, reversed(found)))
    source = list(caption.sentences[: len(found) - len(trailing)])
    own = [part for parts in reversed(trailing) for part in parts]
    out: dict[str, None] = {}
    for _ in range(4 * count if own else 0):
        text = _rearranged(source, [_reworded(part, rng) for part in own], rng)
        if text != caption.text:
            out[text] = None
        if len(out) == count:
            break
    return list(out)


def _given_of(caption: Caption, sentence: int) -> Stated:
    return tuple(
        fact.at(0)
        for fact in caption.facts
        if fact.sentence == sentence and fact.kind in GIVEN_BANKS
    )


def _found_again(sentences: Sequence[str], given: Sequence[Fact]) -> list[Fact]:
    """Given facts with their positions among other sentences."""
    lower = [sentence.lower() for sentence in sentences]
    out: list[Fact] = []
    for kind in GIVEN_BANKS:
        named = list(dict.fromkeys(fact.at(0) for fact in given if fact.kind is kind))
        scores = [_count_in(sentence, named) for sentence in lower]
        by_score = sorted(range(len(lower)), key=lambda index: (scores[index], index), reverse=True)
        for fact in named:
            index = next((index for index in by_score if fact.text in lower[index]), None)
            if index is not None:
                out.append(fact.at(index))
    return out


def _count_in(sentence: str, facts: Sequence[Fact]) -> int:
    return sum(fact.text in sentence for fact in facts)


def _reworded(part: Recognised, rng: np.random.Generator) -> str:
    """Another wording of one of our sentences."""
    if rng.random() >= _REWORD_SHARE:
        return part.text
    return worded(part.bank, part.slots, part.facts, rng, avoid=part.text).text


def _rearranged(source: list[str], own: list[str], rng: np.random.Generator) -> str:
    """Control sentences in a new order around the source's, perhaps two of them joined."""
    mixed = [own[index] for index in rng.permutation(len(own)).tolist()]
    if len(mixed) > 1 and rng.random() < _JOIN_SHARE:
        both = joined(mixed[0], mixed[1], JOINTS[int(rng.random() * len(JOINTS))])
        mixed = [both, *mixed[2:]] if both else mixed
    cut = int(rng.random() * (len(mixed) + 1)) if source else 0
    return " ".join([*mixed[:cut], *source, *mixed[cut:]])
