"""Which weights of a training are kept, and how far the text is trusted: no further than songs that
were not learned from bear out.
"""

import math
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Final, NamedTuple

from training.control_predictors.losses import SongLosses
from training.control_predictors.nets import PredictedPart
from training.run.tensor_files import Weights

TRUSTS: Final = (0.0, 0.5, 1.0)  # in the text
# Of validation's songs, so many standard errors of the paired difference: 95 % of chance
# differences are smaller.
_PROOF: Final = 2.0


class CandidateWeights(NamedTuple):
    """Weights of a predictor after some steps, their trust in the text, and what they got wrong."""

    weights: Weights
    trust: float
    losses: SongLosses
    step: int

    @property
    def loss(self) -> float:
        """The mean over songs; NaN without any."""
        return fmean(self.losses.values()) if self.losses else math.nan


class WeightChoice:
    """The best weights so far for each trust in the text, by predictor, and the first ones."""

    def __init__(self) -> None:
        self._usual: dict[PredictedPart, CandidateWeights] = {}
        self._best: dict[PredictedPart, dict[float, CandidateWeights]] = {
            part: {} for part in PredictedPart
        }

    def offer(self, part: PredictedPart, one: CandidateWeights) -> None:
        """Keep a candidate if it is the first, or the best with its trust; without songs to judge
        by, if it is the latest.
        """
        self._usual.setdefault(part, one)
        before = self._best[part].get(one.trust)
        if before is None or not one.losses or one.loss < before.loss:
            self._best[part][one.trust] = one

    def usual(self, part: PredictedPart) -> CandidateWeights:
        """What was there before any learning."""
        return self._usual[part]

    def best(self, part: PredictedPart) -> CandidateWeights:
        """The one with the least loss, or the latest with full trust."""
        found = self._best[part].values()
        return min(found, key=lambda one: (one.loss if one.losses else 0.0, -one.trust))

    def proven(self, part: PredictedPart) -> CandidateWeights:
        """The most trusting one of which each step up, from what is usual, is proven by songs."""
        found = self.usual(part)
        if not found.losses:
            return self.best(part)
        for trust in TRUSTS:
            other = self._best[part][trust]
            if is_proven(found.losses, other.losses):
                found = other
        return found


def is_proven(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    """Whether losses fell by more than chance differences between songs would have it.

    >>> is_proven({"a": 1.0, "b": 1.1, "c": 0.9}, {"a": 0.5, "b": 0.5, "c": 0.5})
    True
    >>> is_proven({"a": 1.0, "b": 1.1, "c": 0.9}, {"a": 0.5, "b": 0.5, "c": 1.5})
    False
    """
    gains = [loss - after[song] for song, loss in before.items()]
    return len(gains) > 1 and fmean(gains) > _PROOF * stdev(gains) / math.sqrt(len(gains))
