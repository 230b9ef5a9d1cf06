"""What is measured of clips' sound beside labels: level and spectrum, and what scorers keep."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from schemas.recipe import Recipe
from training.evaluation.heard_wave import HeardWave, heard_wave
from training.evaluation.scorers import Rows, child
from training.evaluation.scorers.child import ScoredFile
from training.evaluation.scorers.opened import AT_ONCE, NO_SCORERS, ReadyScorer, Scorers
from training.metrics.length import heard_length_s
from training.metrics.level import RATE_HZ, ClipLevel, clip_level

_NOTHING: Final[Mapping[str, Rows]] = MappingProxyType({})


class HeardSound(NamedTuple):
    """One clip: its level, what each scorer keeps of it, by the scorer's key, and how long it
    sounds.

    Each is missing where the file could not be decoded.
    """

    level: ClipLevel | None
    observed: Mapping[str, Rows] = _NOTHING
    length_s: float | None = None


def listened(
    sounds: Sequence[ScoredFile], recipe: Recipe, scorers: Scorers = NO_SCORERS
) -> list[HeardSound]:
    """Each file's level and length, and what each scorer keeps of it."""
    with bucket.child(recipe.limits) as worker:
        measured = [
            None if isinstance(found, Death) else found
            for batch in bucket.batches(sounds, AT_ONCE)
            for found in worker.run(measured_sounds, batch, None)
        ]
    kept: list[dict[str, Rows]] = [{} for _ in sounds]
    for one in scorers.ready:
        for observed, row in zip(kept, _observed(sounds, recipe, one), strict=True):
            if row is not None:
                observed[one.key] = row
    return [
        HeardSound(None, observed) if one is None else HeardSound(one.level, observed, one.length_s)
        for one, observed in zip(measured, kept, strict=True)
    ]


class MeasuredSound(NamedTuple):
    """A clip's level, and how long it sounds."""

    level: ClipLevel
    length_s: float


def measured_sounds(sounds: Sequence[ScoredFile], _: None) -> list[MeasuredSound | Death]:
    """The level and the length of each file; runs in a worker's child."""
    return [_measured(heard_wave(one.path, 0.0, one.duration_s)) for one in sounds]


def _measured(heard: HeardWave | Death) -> MeasuredSound | Death:
    if isinstance(heard, Death):
        return heard
    wave = heard.at(RATE_HZ)
    return MeasuredSound(clip_level(wave), heard_length_s(wave, RATE_HZ))


def _observed(sounds: Sequence[ScoredFile], recipe: Recipe, one: ReadyScorer) -> list[Rows | None]:
    with bucket.model_child(recipe.limits, one.choice.device, AT_ONCE) as worker:
        return [
            None if isinstance(found, Death) else found
            for batch in bucket.batches(sounds, AT_ONCE)
            for found in worker.run(child.observe, batch, one.choice)
        ]
