"""Figures of clips' sound beside a reference's: level, spectrum, and what scorers say."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from schemas.recipe import Recipe
from schemas.record import Record
from training.evaluation.estimated import EstimatedClip
from training.evaluation.heard import HeardSound, listened
from training.evaluation.reference import Reference
from training.evaluation.scorers import ObservedClips, Rows, ScorerValues, child
from training.evaluation.scorers.child import ScoredFile
from training.evaluation.scorers.opened import (
    AT_ONCE,
    ReadyScorer,
    ScorerFigure,
    ScorerReport,
    Scorers,
)
from training.metrics.length import AskedLength, LengthReport, length_report
from training.metrics.level import LevelReport, level_report
from training.metrics.summary import Kind, figure


class SoundReport(Record):
    """Level and spectrum, none where no clip sounds; length, none where none was asked; and every
    scorer, those that did not run too.
    """

    level: LevelReport | None = None
    length: LengthReport | None = None
    scorers: tuple[ScorerReport, ...] = ()


class HeardSets(NamedTuple):
    """Clips and samples of reference as they were heard; of each pair the row among the
    reference's, and among the made ones'.
    """

    made: Sequence[HeardSound]
    reference: Sequence[HeardSound] = ()
    pairs: Sequence[tuple[int, int]] = ()


def sound_report(
    estimated: Sequence[EstimatedClip],
    reference: Reference | None,
    scorers: Scorers,
    recipe: Recipe,
    *,
    seed: int,
) -> SoundReport:
    """Listen to the clips that are not a swap of another, and say how they sound beside a
    reference that was read with the same scorers.

    Draws of intervals depend on the seed alone.
    """
    counted = [one for one in estimated if not one.made.swap_of]
    files = [ScoredFile(one.made.path, one.labels.duration_s) for one in counted if one.labels]
    heard = HeardSets(listened(files, recipe, scorers))
    if reference is not None:
        rows = [reference.row_of(one.made.reference, one.made.caption) for one in counted]
        pairs = [(row, played) for played, row in enumerate(rows) if row is not None]
        heard = heard._replace(reference=reference.heard, pairs=pairs)
    lengths = [
        AskedLength(one.made.asked_s, sound.length_s)
        for one, sound in zip(counted, heard.made, strict=True)
        if one.made.asked_s is not None and sound.length_s is not None
    ]
    found = reported(heard, scorers, recipe, seed=seed)
    return found.replaced(length=length_report(lengths))


def reported(heard: HeardSets, scorers: Scorers, recipe: Recipe, *, seed: int) -> SoundReport:
    """Figures of what was heard."""
    made, reference = (
        [one.level for one in side if one.level is not None]
        for side in (heard.made, heard.reference)
    )
    ran = [_scored(one, heard, recipe, seed) for one in scorers.ready]
    return SoundReport(level=level_report(made, reference), scorers=(*ran, *scorers.not_run))


def _scored(one: ReadyScorer, heard: HeardSets, recipe: Recipe, seed: int) -> ScorerReport:
    observed = _observed(one.key, heard)
    kept = len(observed.made_NK) + len(observed.reference_MK)
    report = ScorerReport(
        name=one.facts.name,
        version=one.facts.version,
        licence=one.facts.licence,
        unusable=len(heard.made) + len(heard.reference) - kept,
    )
    if not len(observed.made_NK):
        return report.replaced(not_run="it can hear none of the clips")
    found: list[ScorerValues] | Death
    with bucket.model_child(recipe.limits, one.choice.device, AT_ONCE) as worker:
        [found] = worker.run(child.score, [observed], one.choice)
    if isinstance(found, Death):
        return report.replaced(not_run=f"{found.code}: {found.message}")
    if not found:
        return report.replaced(not_run="it compares clips with others: name shards")
    return report.replaced(figures=tuple(_figure(values, seed) for values in found))


def _observed(key: str, heard: HeardSets) -> ObservedClips:
    """What a scorer kept of either side; pairs by their rows among what is there."""
    made_at, reference_at = (
        np.cumsum([key in one.observed for one in side]) - 1
        for side in (heard.made, heard.reference)
    )
    pairs = tuple(
        (int(reference_at[beside]), int(made_at[played]))
        for beside, played in heard.pairs
        if key in heard.reference[beside].observed and key in heard.made[played].observed
    )
    return ObservedClips(_rows(key, heard.made), _rows(key, heard.reference), pairs)


def _rows(key: str, side: Sequence[HeardSound]) -> Rows:
    kept = [one.observed[key] for one in side if key in one.observed]
    return np.stack(kept) if kept else np.zeros((0, 0))


def _figure(found: ScorerValues, seed: int) -> ScorerFigure:
    made = figure(found.name, found.meaning, found.values, Kind.MEAN, key=found.name, seed=seed)
    return ScorerFigure(figure=made, better=found.better, unit=found.unit)
