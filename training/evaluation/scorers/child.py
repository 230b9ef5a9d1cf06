"""What a worker's child does for scorers: it holds one."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from pipelines.audio.decode import Wave
from pipelines.engine.child_process import Death
from training.evaluation.heard_wave import heard_wave
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
    heard = heard_wave(sound.path, 0.0, sound.duration_s)
    return heard if isinstance(heard, Death) else heard.at(rate_hz)
