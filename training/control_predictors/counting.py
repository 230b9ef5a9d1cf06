"""The shares that predictors begin with: how often each answer is right in the corpus."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from schemas.sample import Sample
from training.control_predictors.nets import PredictedPart
from training.control_predictors.targets import (
    CHORDS,
    METERS,
    MODES,
    NO_CHORD_TOKEN,
    TEMPOS,
    Targets,
    targets_of,
)
from training.control_predictors.visits import blurred

# What never came up may still be right. So little of it moves no median, and its logarithm is no
# infinity.
_NEVER_SEEN: Final = 0.02


def shares_of(samples: Iterable[Sample]) -> dict[PredictedPart, Sequence[float]]:
    """How often each meter, tempo, mode and chord comes up; shares of each sum up to 1."""
    targets = [targets_of(sample) for sample in samples]
    tempos = sum((blurred(one.bpm).astype(np.float64) for one in targets), np.zeros(TEMPOS))
    meters = Counter(one.meter for one in targets)
    modes = Counter(one.mode for one in targets)
    return {
        PredictedPart.METER: _shares(list(map(meters.__getitem__, METERS))),
        PredictedPart.TEMPO: _shares(tempos.tolist()),
        PredictedPart.MODE: _shares(list(map(modes.__getitem__, MODES))),
        PredictedPart.CHORDS: _shares(_chord_counts(targets)),
    }


def _chord_counts(targets: Sequence[Targets]) -> list[float]:
    counts = Counter(
        step.token for one in targets for step in one.chords if step.token != NO_CHORD_TOKEN
    )
    return [float(counts[token]) for token in range(len(CHORDS))]


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) + _NEVER_SEEN * len(counts)
    return [(count + _NEVER_SEEN) / total for count in counts]
