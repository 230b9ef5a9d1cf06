"""What is measured of clips' sound beside labels: level and spectrum, and what scorers keep."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from schemas.recipe import Recipe
from training.evaluation.heard_wave import heard_wave
from training.evaluation.scorers import Rows, child
from training.evaluation.scorers.child import ScoredFile
from training.evaluation.scorers.opened import AT_ONCE, NO_SCORERS, ReadyScorer, Scorers
from training.metrics.level import RATE_HZ, ClipLevel, clip_level

_NOTHING: Final[Mapping[str, Rows]] = MappingProxyType({})


class HeardSound(NamedTuple):
    """One clip: its level, and what each scorer keeps of it, by the scorer's key.

    Either is missing where the file could not be decoded.
    """

    level: ClipLevel | None
    observed: Mapping[str, Rows] = _NOTHING


def listened(
    sounds: Sequence[ScoredFile], recipe: Recipe, scorers: Scorers = NO_SCORERS
) -> list[HeardSound]:
    """Each file's level, and what each scorer keeps of it."""
    with bucket.child(recipe.limits) as worker:
        levels = [
            None if isinstance(found, Death) else found
            for batch in bucket.batches(sounds, AT_ONCE)
            for found in worker.run(levels_of, batch, None)
        ]
    kept: list[dict[str, Rows]] = [{} for _ in sounds]
    for one in scorers.ready:
        for observed, row in zip(kept, _observed(sounds, recipe, one), strict=True):
            if row is not None:
                observed[one.key] = row
    return [HeardSound(level, observed) for level, observed in zip(levels, kept, strict=True)]


def levels_of(sounds: Sequence[ScoredFile], _: None) -> list[ClipLevel | Death]:
    """The level of each file; runs in a worker's child."""
    found: list[ClipLevel | Death] = []
    for sound in sounds:
        heard = heard_wave(sound.path, 0.0, sound.duration_s)
        found.append(heard if isinstance(heard, Death) else clip_level(heard.at(RATE_HZ)))
    return found


def _observed(sounds: Sequence[ScoredFile], recipe: Recipe, one: ReadyScorer) -> list[Rows | None]:
    with bucket.model_child(recipe.limits, one.choice.device, AT_ONCE) as worker:
        return [
            None if isinstance(found, Death) else found
            for batch in bucket.batches(sounds, AT_ONCE)
            for found in worker.run(child.observe, batch, one.choice)
        ]
