"""An annotator for tests of everything but labels: the same ones for every wave, at once."""

from collections.abc import Sequence

from pipelines.annotators import BeatsAndMeter
from pipelines.audio import Wave
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter
from schemas.recipe import AnnotateRecipe

CLAIM = {"confidence": 0.9, "tool": "plain", "version": "1", "licence": "CC0-1.0"}


def annotate_beats(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[BeatsAndMeter]:
    return [
        BeatsAndMeter(Beats(times_s=(0.5, 1.0, 1.5, 2.0), numbers=(1, 2, 3, 4), **CLAIM), Meter(beats_per_bar=4, **CLAIM)) for _ in waves
    ]


def annotate_chords(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[Chords]:
    return [Chords(segments=(ChordSegment(start_s=0.0, end_s=round(len(wave) / 44_100, 3), label="C:maj"),), **CLAIM) for wave in waves]


def annotate_key(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[KeyLabel]:
    return [KeyLabel(tonic=0, mode="major", **CLAIM) for _ in waves]
