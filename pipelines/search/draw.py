"""Which of its candidates a sample gets: sampled without replacement, each with a chance that falls
with its frequency in the corpus.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.pseudo_label import CandidateText


def sampled(
    candidates: Sequence[CandidateText],
    clips: Mapping[int, int],
    number: int,
    rng: np.random.Generator,
) -> list[CandidateText]:
    """Up to `number` candidates, the nearest first; `clips` says how many clips have each entry
    among their candidates.

    One after the other is chosen with probability proportional to 1 / frequency among those that
    are left: the first to come of exponential clocks whose rates are those weights (Efraimidis &
    Spirakis, 2006). A text that many clips would get is chosen rarely.

    >>> made = dict(text="", form="long", vocabulary="v", source="", licence="", similarity=0.5)
    >>> rare = CandidateText(entry=1, rank=1, **made)
    >>> common = CandidateText(entry=2, rank=2, **made)
    >>> rng = np.random.default_rng(0)
    >>> sum(sampled([rare, common], {1: 1, 2: 9}, 1, rng) == [rare] for _ in range(1000))
    896
    """
    clocks = rng.standard_exponential(len(candidates)) * np.array(
        [clips[candidate.entry] for candidate in candidates], np.float64
    )
    return [
        candidates[index] for index in sorted(np.argsort(clocks, kind="stable")[:number].tolist())
    ]
