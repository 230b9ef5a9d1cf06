"""A judge for tests, of chords alone: E minor sevenths in everything."""

from pipelines.annotators import RATE_HZ, Rhythm
from pipelines.annotators.batch import WaveBatch
from schemas.labels import Chords, ChordSegment


def annotate_chords(batch: WaveBatch, rhythms: list[Rhythm]) -> list[Chords]:
    return [
        Chords(
            segments=(
                ChordSegment(start_s=0, end_s=round(len(wave) / RATE_HZ, 3), label="E:min7"),
            ),
            confidence=1,
            tool="minor",
            version="3",
            licence="CC0-1.0",
        )
        for wave in batch.waves
    ]
