"""How one clip fares by each control metric of Mustango (Melechovsky et al., NAACL 2024), as
corrected and as published.

The published figures follow from what the published code does, where it departs from what is
described:

- A clip in which no key is estimated is left out of CK and CKD, and of all chord metrics and BM as
  well; one without a tempo, or without a meter, is left out of TB and TBT, or of BM. Here a label
  that the annotators leave empty is a miss.
- CKD takes the relative key in the wrong direction.
- ECM counts requested chords from the first on and stops at the first that is missing. Here it is
  the   longest common subsequence.
- CMOT puts diminished and augmented chords into one class of their own. Here each goes by its
  third.
- Extra chords cost nothing. Here two figures of precision stand beside.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from pipelines.captioning.check import WORD_TOLERANCE
from pipelines.captioning.tempo_words import TEMPO_RANGES
from training.metrics.controls import Control, PromptControls
from training.metrics.matching import (
    beginning_in_order,
    by_published_type,
    by_third,
    called_for,
    longest_in_order,
    matches_in_any_order,
    merged_by,
    same_or_relative,
    same_or_wrong_relative,
    tempo_bin,
)


class Metric(StrEnum):
    """The control metrics."""

    TB = "TB"
    TBT = "TBT"
    TW = "TW"
    CK = "CK"
    CKD = "CKD"
    PCM = "PCM"
    ECM = "ECM"
    CMO = "CMO"
    CMOT = "CMOT"
    CP = "CP"
    CPT = "CPT"
    BM = "BM"


MEANING: Final = {
    Metric.TB: "tempo in the asked bin",
    Metric.TBT: "tempo in the asked bin or one beside it",
    Metric.TW: "tempo within the range of the asked word (± 10 %)",
    Metric.CK: "key as asked: tonic and mode",
    Metric.CKD: "key as asked, or its relative",
    Metric.PCM: "all asked chords heard in order",
    Metric.ECM: "asked chords heard in order",
    Metric.CMO: "asked chords heard in any order",
    Metric.CMOT: "the same by root and major or minor",
    Metric.CP: "heard chords that were asked for, in order",
    Metric.CPT: "the same by root and major or minor",
    Metric.BM: "beats per bar as asked",
}
OF_CONTROL: Final = {
    **dict.fromkeys((Metric.TB, Metric.TBT, Metric.TW), Control.TEMPO),
    **dict.fromkeys((Metric.CK, Metric.CKD), Control.KEY),
    **dict.fromkeys(
        (Metric.PCM, Metric.ECM, Metric.CMO, Metric.CMOT, Metric.CP, Metric.CPT), Control.CHORDS
    ),
    Metric.BM: Control.METER,
}
# of clips; others are means
SHARES: Final = frozenset(
    (Metric.TB, Metric.TBT, Metric.TW, Metric.CK, Metric.CKD, Metric.PCM, Metric.BM)
)
Scores = Mapping[Metric, float]  # within [0, 1]; a metric is missing where the clip does not count


class Variant(StrEnum):
    """Whose rules."""

    CORRECTED = "corrected"
    PUBLISHED = "published"


def scores(
    requested: PromptControls, estimated: PromptControls, variant: Variant = Variant.CORRECTED
) -> Scores:
    """How a clip fares by each metric that its prompt has something to say to.

    >>> key = {"tonic": 0, "mode": "major"}
    >>> requested = PromptControls(bpm=120, key=key, chords=("C:maj", "G:maj"))
    >>> key = {"tonic": 9, "mode": "minor"}
    >>> played = PromptControls(bpm=138, key=key, chords=("G:maj", "C:maj7", "G:maj"))
    >>> by_metric = scores(requested, played).items()
    >>> found = {name.value: round(value, 2) for name, value in by_metric}
    >>> [found[name] for name in ("TB", "TBT", "CK", "CKD")]
    [1.0, 1.0, 0.0, 1.0]
    >>> [found[name] for name in ("PCM", "ECM", "CMO", "CMOT", "CP", "CPT")]
    [0.0, 0.5, 0.5, 1.0, 0.67, 1.0]
    """
    return (
        _corrected(requested, estimated)
        if variant is Variant.CORRECTED
        else _published(requested, estimated)
    )


def _corrected(requested: PromptControls, estimated: PromptControls) -> Scores:
    return (
        _tempo(requested, estimated)
        | _words(requested, estimated)
        | _key(requested, estimated)
        | _chords(requested.chords, estimated.chords)
        | _meter(requested, estimated)
    )


def _published(requested: PromptControls, estimated: PromptControls) -> Scores:
    found = _tempo(requested, estimated) if estimated.has(Control.TEMPO) else {}
    if requested.key and estimated.key:
        found |= {
            Metric.CK: float(requested.key == estimated.key),
            Metric.CKD: float(same_or_wrong_relative(requested.key, estimated.key)),
        }
    if estimated.key is not None:
        found |= _published_chords(requested.chords, estimated.chords) | (
            _meter(requested, estimated) if estimated.has(Control.METER) else {}
        )
    return found


def _tempo(requested: PromptControls, estimated: PromptControls) -> dict[Metric, float]:
    if requested.bpm is None:
        return {}
    apart = (
        abs(tempo_bin(requested.bpm) - tempo_bin(estimated.bpm)) if estimated.bpm is not None else 9
    )
    return {Metric.TB: float(apart == 0), Metric.TBT: float(apart <= 1)}


def _words(requested: PromptControls, estimated: PromptControls) -> dict[Metric, float]:
    spans = [TEMPO_RANGES[word] for word in requested.tempo_words if word in TEMPO_RANGES]
    if not spans:
        return {}
    bpm = estimated.bpm
    within = bpm is not None and all(
        span.low * (1 - WORD_TOLERANCE) <= bpm <= span.high * (1 + WORD_TOLERANCE) for span in spans
    )
    return {Metric.TW: float(within)}


def _key(requested: PromptControls, estimated: PromptControls) -> dict[Metric, float]:
    if requested.key is None:
        return {}
    known = estimated.key
    return {
        Metric.CK: float(known == requested.key),
        Metric.CKD: float(known is not None and same_or_relative(requested.key, known)),
    }


def _meter(requested: PromptControls, estimated: PromptControls) -> dict[Metric, float]:
    return {} if requested.meter is None else {Metric.BM: float(requested.meter == estimated.meter)}


def _chords(requested: Sequence[str], estimated: Sequence[str]) -> dict[Metric, float]:
    if not requested:
        return {}
    in_order = longest_in_order(requested, estimated)
    requested_thirds = merged_by([by_third(label) for label in requested])
    estimated_thirds = merged_by([by_third(label) for label in estimated])
    return {
        Metric.PCM: float(in_order == len(requested)),
        Metric.ECM: in_order / len(requested),
        Metric.CMO: matches_in_any_order(requested, estimated) / len(requested),
        Metric.CMOT: _typed(requested, estimated, by_third),
        Metric.CP: called_for(requested, estimated) / max(len(estimated), 1),
        Metric.CPT: called_for(requested_thirds, estimated_thirds) / max(len(estimated_thirds), 1),
    }


def _published_chords(requested: Sequence[str], estimated: Sequence[str]) -> dict[Metric, float]:
    if not requested:
        return {}
    begun = beginning_in_order(requested, estimated)
    return {
        Metric.PCM: float(begun == len(requested)),
        Metric.ECM: begun / len(requested),
        Metric.CMO: matches_in_any_order(requested, estimated) / len(requested),
        Metric.CMOT: _typed(requested, estimated, by_published_type),
    }


def _typed(
    requested: Sequence[str], estimated: Sequence[str], reduced: Callable[[str], tuple[int, str]]
) -> float:
    """Chords are reduced one by one, not merged: each requested one needs one of its own."""
    matches = matches_in_any_order(list(map(reduced, requested)), list(map(reduced, estimated)))
    return matches / len(requested)
