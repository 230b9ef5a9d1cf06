"""A scorer for tests: each clip's peak, of its own clips alone."""

from collections.abc import Sequence

import numpy as np

from pipelines.audio.decode import Wave
from training.evaluation.scorers import (
    Better,
    ObservedClips,
    Rows,
    ScorerFacts,
    ScorerValues,
    ValueUnit,
)


class PeakScorer:
    facts = ScorerFacts(name="peak", version="1", licence="CC0-1.0", rate_hz=16_000)

    def observe(self, waves: Sequence[Wave]) -> Rows:
        return np.array([[float(np.abs(wave).max())] for wave in waves])

    def score(self, observed: ObservedClips) -> list[ScorerValues]:
        peaks = tuple(observed.made_NK[:, 0].tolist())
        return [ScorerValues("peak", "of full scale", Better.HIGHER, ValueUnit.CLIP, peaks)]


def open_scorer(source: str = "", device: str = "cpu") -> PeakScorer:
    return PeakScorer()
