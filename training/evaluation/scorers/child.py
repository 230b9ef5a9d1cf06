"""What a worker's child does for scorers: it holds one."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pipelines.audio.decode import Wave, read_window, resampled
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput
from training.evaluation.scorers import (
    ObservedClips,
    Rows,
    Scorer,
    ScorerChoice,
    ScorerFacts,
    ScorerValues,
    open_scorer,
)


class ScoredFile(NamedTuple):
    """A local file of a known length."""

    path: str
    duration_s: float


def describe(choices: Sequence[ScorerChoice], _: None) -> list[ScorerFacts]:
    """What each scorer is. Its weights are read."""
    return [_opened(choice).facts for choice in choices]


def observe(sounds: Sequence[ScoredFile], choice: ScorerChoice) -> list[Rows | Death]:
    """What a scorer keeps of each file; what cannot be decoded is dead."""
    scorer = _opened(choice)
    read = [_read(sound, scorer.facts.rate_hz) for sound in sounds]
    rows = iter(scorer.observe([one for one in read if not isinstance(one, Death)]))
    return [one if isinstance(one, Death) else next(rows) for one in read]


def score(sets: Sequence[ObservedClips], choice: ScorerChoice) -> list[list[ScorerValues]]:
    """Figures of each set of clips."""
    return [list(_opened(choice).score(one)) for one in sets]


@lru_cache(maxsize=1)
def _opened(choice: ScorerChoice) -> Scorer:
    """The last scorer stays in memory."""
    return open_scorer(choice)


def _read(sound: ScoredFile, rate_hz: int) -> Wave | Death:
    try:
        decoded = read_window(sound.path, 0.0, sound.duration_s)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
    return resampled(np.nan_to_num(decoded.wave), decoded.rate_hz, rate_hz)
