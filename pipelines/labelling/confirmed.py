"""Whether a sample's labels confirm what a text states: an embedding hears neither tempo nor key, so its word is no evidence."""

from typing import Final

from pipelines.captioning.check import contradiction
from pipelines.captioning.facts import parse_facts
from schemas.caption import Fact, FactKind
from schemas.corpus import Change
from schemas.identity import VariantKind, variant_kind
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe

_TEMPO: Final = (FactKind.BPM, FactKind.TEMPO_WORD)
_CHORDS: Final = (FactKind.CHORDS, FactKind.TIMED_CHORDS)


def unconfirmed(text: str, labels: Labels, change: Change, recipe: CaptionRecipe) -> FactKind | None:
    """The kind of the first fact of a text that no sure label confirms, or none.

    Confirmed is what a label says that is sure enough to be put in words (`caption.min_…_confidence`). Dynamics are let be, but on a
    copy whose volume was changed.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> empty = dict(duration_s=10, beats=Beats(**how), meter=Meter(**how), chords=Chords(**how), key=KeyLabel(**how))
    >>> labels = Labels(tempo=Tempo(bpm=120, **how), **empty)
    >>> [unconfirmed(text, labels, Change(), CaptionRecipe()) for text in ("A flute at 120 BPM.", "A waltz.", "A sad song.")]
    [None, <FactKind.METER: 'meter'>, None]
    """
    wrong = (fact.kind for fact in parse_facts(text) if not _is_confirmed(fact, labels, change, recipe))
    return next(wrong, None)


def _is_confirmed(fact: Fact, labels: Labels, change: Change, recipe: CaptionRecipe) -> bool:
    if fact.kind is FactKind.DYNAMICS:
        return variant_kind(change.variant) is not VariantKind.VOLUME
    if fact.kind in _TEMPO:
        known = labels.tempo.bpm is not None and labels.tempo.confidence >= recipe.min_tempo_confidence
    elif fact.kind is FactKind.METER:
        known = labels.meter.beats_per_bar is not None and labels.meter.confidence >= recipe.min_meter_confidence
    elif fact.kind is FactKind.KEY:
        known = labels.key.tonic is not None and labels.key.confidence >= recipe.min_key_confidence
    elif fact.kind in _CHORDS:
        known = bool(labels.chords.segments) and labels.chords.confidence >= recipe.min_chords_confidence
    else:  # of a time: what happens then is not known
        known = False
    return known and not contradiction(fact, labels)
