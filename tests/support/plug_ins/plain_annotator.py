"""An annotator for tests of everything but labels: the same ones for every wave, at once."""

from pipelines.annotators import Rhythm
from pipelines.annotators.batch import WaveBatch
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo

CLAIM = {"confidence": 0.9, "tool": "plain", "version": "1", "licence": "CC0-1.0"}


def annotate_beats(batch: WaveBatch) -> list[Rhythm]:
    beats = Beats(times_s=(0.5, 1.0, 1.5, 2.0), numbers=(1, 2, 3, 4), **CLAIM)
    return [
        Rhythm(beats, Meter(beats_per_bar=4, **CLAIM), Tempo(bpm=120, **CLAIM)) for _ in batch.waves
    ]


def annotate_chords(batch: WaveBatch, rhythms: list[Rhythm]) -> list[Chords]:
    return [
        Chords(
            segments=(
                ChordSegment(start_s=0.0, end_s=round(len(wave) / 44_100, 3), label="C:maj"),
            ),
            **CLAIM,
        )
        for wave in batch.waves
    ]


def annotate_key(batch: WaveBatch) -> list[KeyLabel]:
    return [KeyLabel(tonic=0, mode="major", **CLAIM) for _ in batch.waves]
