"""Paraphrases of a control caption, and the check that lets them in."""

from typing import Final, Protocol

import numpy as np

from pipelines.captioning.facts import facts_of, stated
from pipelines.captioning.sentences import ControlSentence, recognised, worded
from pipelines.captioning.splitting import clean_text, split_sentences
from pipelines.errors import PipelineError
from schemas.caption import Caption, CaptionKind

_JOINTS: Final = (", and ", "; ", ", while ")
_OPENERS: Final = frozenset(
    ["The", "It", "There", "Its", "This", "Each", "A", "In", "At", "You"]
)  # words that lose their capital inside a sentence
_REWORD_SHARE: Final = 0.8  # the rest keeps its wording, so that order and joints alone vary too
_JOIN_SHARE: Final = 0.5


class Paraphraser(Protocol):
    """Whoever rewords a control caption. What it gives is checked before it lands."""

    def paraphrase(self, caption: Caption, count: int, rng: np.random.Generator) -> list[Caption]:
        """At most `count` other captions with the same facts."""
        ...


def captioned(text: str, kind: CaptionKind) -> Caption:
    """A caption of a text, with the sentences and facts that are found in it.

    >>> captioned("It is in A minor.", CaptionKind.CONTROL).facts[0].value
    'A minor'
    """
    sentences = split_sentences(text)
    return Caption(text=" ".join(sentences), kind=kind, sentences=sentences, facts=facts_of(sentences))


def states_same(one: Caption, other: Caption) -> bool:
    """Whether two texts, read afresh, state exactly the same facts, whatever their order."""
    return _facts(one.text) == _facts(other.text)


def _facts(text: str) -> set[tuple[str, str]]:
    return {fact for sentence in split_sentences(clean_text(text)) for fact in stated(sentence)}


class RulesParaphraser:
    """Offline: other wordings of the same values, two sentences joined, control sentences around the source's own.

    >>> rng = np.random.default_rng(1)
    >>> control = captioned("A flute plays. The tempo is 92 BPM. It is in A minor.", CaptionKind.CONTROL)
    >>> [caption] = RulesParaphraser().paraphrase(control, 1, rng)
    >>> "A flute plays." in caption.text and states_same(caption, control)
    True
    """

    def paraphrase(self, caption: Caption, count: int, rng: np.random.Generator) -> list[Caption]:
        """Up to `count` different rewordings; none where no sentence is one of ours."""
        own = [sentence for sentence in caption.sentences if recognised(sentence)]
        source = [sentence for sentence in caption.sentences if sentence not in own]
        out: dict[str, Caption] = {}
        for _ in range(4 * count if own else 0):
            text = _rearranged(source, [_reworded(sentence, rng) for sentence in own], rng)
            if text != caption.text and text not in out:
                out[text] = captioned(text, CaptionKind.PARAPHRASE)
            if len(out) == count:
                break
        return list(out.values())


def _reworded(sentence: str, rng: np.random.Generator) -> str:
    """Another wording of one of our sentences."""
    known = recognised(sentence)
    if known is None or rng.random() >= _REWORD_SHARE:
        return sentence
    other: ControlSentence = worded(*known, stated(sentence), rng, avoid=sentence)
    return other.text


def _rearranged(source: list[str], own: list[str], rng: np.random.Generator) -> str:
    """Control sentences in a new order around the source's, perhaps two of them joined."""
    mixed = [own[place] for place in rng.permutation(len(own))]
    if len(mixed) > 1 and rng.random() < _JOIN_SHARE:
        joined = _joined(mixed[0], mixed[1], _JOINTS[int(rng.random() * len(_JOINTS))])
        mixed = [joined, *mixed[2:]] if joined else mixed
    cut = int(rng.random() * (len(mixed) + 1)) if source else 0
    return " ".join([*mixed[:cut], *source, *mixed[cut:]])


def _joined(first: str, second: str, joint: str) -> str:
    """Two sentences as one, or nothing where the second cannot follow a comma."""
    opener, space, rest = second.partition(" ")
    if opener not in _OPENERS or not space:
        return ""
    return f"{first.removesuffix('.')}{joint}{opener.lower()} {rest}"


PARAPHRASERS: Final[dict[str, Paraphraser]] = {"rules": RulesParaphraser()}


def paraphraser_named(name: str) -> Paraphraser:
    """The paraphraser that a recipe names; raises `PipelineError` for a name that is not registered."""
    if name not in PARAPHRASERS:
        raise PipelineError(f"caption.paraphraser is {name!r}: expected one of {', '.join(sorted(PARAPHRASERS))}")
    return PARAPHRASERS[name]
