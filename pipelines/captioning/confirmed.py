"""Whether a sample's labels confirm what a text states: an embedding knows neither tempo nor key,
so its word is not evidence.
"""

from pipelines.captioning.check import contradiction
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.sentences import ATTRIBUTE_OF, Attribute, sure_of
from schemas.corpus import Change
from schemas.fact import Fact, FactKind
from schemas.identity import VariantKind, variant_kind
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe


def unconfirmed(
    text: str, labels: Labels, change: Change, recipe: CaptionRecipe
) -> FactKind | None:
    """The kind of the first fact of a text that no sure label confirms, or none.

    Confirmed is what a label says that is sure enough to be put in words
    (`caption.min_…_confidence`). Dynamics are let be, but on a copy whose volume was changed, and
    in a mix.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> kinds = dict(beats=Beats, meter=Meter, chords=Chords, key=KeyLabel)
    >>> empty = {name: kind(**how) for name, kind in kinds.items()} | {"duration_s": 10}
    >>> labels = Labels(tempo=Tempo(bpm=120, **how), **empty)
    >>> texts = ("A flute at 120 BPM.", "A waltz.", "A sad song.")
    >>> [unconfirmed(text, labels, Change(), CaptionRecipe()) for text in texts]
    [None, <FactKind.METER: 'meter'>, None]
    """
    facts = parse_facts(text)
    sure = sure_of(labels, recipe) if facts else frozenset()
    return next(
        (fact.kind for fact in facts if not _is_confirmed(fact, labels, change, sure)), None
    )


def _is_confirmed(fact: Fact, labels: Labels, change: Change, sure: frozenset[Attribute]) -> bool:
    if fact.kind is FactKind.DYNAMICS:
        return variant_kind(change.variant) not in (VariantKind.VOLUME, VariantKind.MIX)
    # of a time: what happens then is not known
    return ATTRIBUTE_OF.get(fact.kind) in sure and not contradiction(fact, labels)
