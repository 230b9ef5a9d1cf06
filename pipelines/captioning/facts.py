"""The facts that a text states: the checker of everything that we or a language model write."""

import re
from functools import lru_cache
from typing import Final

from pipelines.captioning.mention import Mention, any_of, overlaps, verbose
from pipelines.captioning.mentions_harmony import harmony_mentions
from pipelines.captioning.mentions_rhythm import dynamics_mentions, meter_mentions, time_mentions
from pipelines.captioning.mentions_tempo import tempo_mentions
from pipelines.captioning.splitting import split_sentences
from schemas.fact import Fact, FactKind

__all__ = ["facts_of", "mentions", "parse_facts", "split_sentences", "stated"]

_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_DENIAL: Final = re.compile(
    r"\bn(?:ot|ever|o longer|either|or)\b|n['’]t\b|\b(?:half|double|twice)\b"
)
_BETWEEN_NOT: Final = "in at of on to a an the key tempo be quite exactly really set played written"
# "not in the key of A minor", "half of 118 BPM": named, but not what the music does
_DENIED: Final = verbose(
    rf"""(?: \b (?:not|never|no[ ]longer|neither|nor) | n['’]t ) \s+
      (?: {any_of(_BETWEEN_NOT)} \s+ ){{0,5}} $
    | \b (?:half|double|twice) \s+ (?: (?:of|the|that) \s+ ){{0,3}} $"""
)
# characters of a sentence that are read: half a second at the worst, for time grows with their
# square
_LONGEST: Final = 20_000
_RANK: Final = {kind: rank for rank, kind in enumerate(FactKind)}


def parse_facts(text: str) -> tuple[Fact, ...]:
    """Facts that a text states about tempo, meter, key, chords, dynamics and times, by sentence,
    then by kind.

    A key without a tonic ("in a minor key") is stated by its mode alone.

    >>> found = parse_facts("A slow waltz. It is in F# minor.")
    >>> [(fact.kind.value, fact.text, fact.sentence) for fact in found]
    [('tempo_word', 'slow', 0), ('meter', '3', 0), ('key', 'F# minor', 1)]
    """
    return facts_of(split_sentences(text))


def facts_of(sentences: tuple[str, ...]) -> tuple[Fact, ...]:
    """Facts of a text whose sentences are known."""
    out: list[Fact] = []
    for index, sentence in enumerate(sentences):
        out += [fact.at(index) for fact in stated(sentence)]
    return tuple(out)


@lru_cache(maxsize=8192)
def stated(sentence: str) -> tuple[Fact, ...]:
    """One sentence's facts, each once, by kind and then by position."""
    return tuple(dict.fromkeys(mention.fact for mention in mentions(sentence)))


@lru_cache(maxsize=8192)  # the same source sentence comes back for each variant of its clip
def mentions(sentence: str) -> tuple[Mention, ...]:
    """Facts of one sentence with the words that state them, by kind and then by position.

    Of a sentence beyond all measure, its start's.
    """
    sentence = sentence[:_LONGEST]
    lower = sentence.lower() if sentence.isascii() else sentence.translate(_ASCII_LOWER)
    harmony = list(harmony_mentions(sentence, lower))
    timed = [mention.span for mention in harmony if mention.kind is FactKind.TIMED_CHORDS]
    found = [
        *tempo_mentions(sentence, lower),
        *meter_mentions(sentence, lower),
        *harmony,
        *dynamics_mentions(sentence, lower),
        *(one for one in time_mentions(sentence, lower) if not overlaps(one.span, timed)),
    ]
    if found and _DENIAL.search(lower):
        found = [mention for mention in found if not _DENIED.search(lower, 0, mention.span.start)]
    if len(found) < 2:
        return tuple(found)
    return tuple(sorted(found, key=lambda mention: (_RANK[mention.kind], mention.span)))
