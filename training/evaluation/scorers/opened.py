"""Scorers that an evaluation asks for: those that open, and why others do not run."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.errors import PipelineError
from schemas.recipe import Recipe
from schemas.record import Record
from training.evaluation.scorers import (
    SCORERS,
    Better,
    ScorerChoice,
    ScorerFacts,
    ValueUnit,
    child,
    scorer_choice,
)
from training.metrics.summary import Figure

AT_ONCE: Final = 8  # files that a child is given at once


class ScorerFigure(Record):
    """A figure of a scorer, which way it is better, and what its values belong to.

    The figure's `clips` are its values: one for sets.
    """

    figure: Figure
    better: Better
    unit: ValueUnit


class ScorerReport(Record):
    """What a scorer found, or why it did not run."""

    name: str
    version: str = ""
    licence: str = ""
    figures: tuple[ScorerFigure, ...] = ()
    unusable: int = 0  # clips and samples that it could not hear
    not_run: str = ""  # why, where it did not


class ReadyScorer(NamedTuple):
    """A scorer that opens."""

    choice: ScorerChoice
    facts: ScorerFacts

    @property
    def key(self) -> str:
        """What tells it from others: of one kind there may be several."""
        return f"{self.choice.name}={self.choice.source}"


class Scorers(NamedTuple):
    """Those that open, and reports of those that do not."""

    ready: tuple[ReadyScorer, ...] = ()
    not_run: tuple[ScorerReport, ...] = ()


NO_SCORERS: Final = Scorers()


def open_scorers(names: Sequence[str], recipe: Recipe) -> Scorers:
    """Scorers by NAME or NAME=SOURCE, on the device of the recipe's embedder.

    Those of ours that nobody asked for are told as not run. Raises `TrainingError` for what is no
    name, `PipelineError` for a name that nothing stands behind.
    """
    choices = [scorer_choice(named, recipe.label.device) for named in dict.fromkeys(names)]
    for choice in choices:
        SCORERS.check(choice.name)
    ready: list[ReadyScorer] = []
    not_run: list[ScorerReport] = []
    for choice in choices:
        facts = _facts(choice, recipe)
        if isinstance(facts, ScorerFacts):
            ready.append(ReadyScorer(choice, facts))
        else:
            not_run.append(ScorerReport(name=choice.name, not_run=facts))
    asked = {choice.name for choice in choices}
    not_run += [
        ScorerReport(name=name, not_run=f"not asked for: --scorer {name}")
        for name in sorted(SCORERS.built_in)
        if name not in asked
    ]
    return Scorers(tuple(ready), tuple(not_run))


def _facts(choice: ScorerChoice, recipe: Recipe) -> ScorerFacts | str:
    """What a scorer is, or why it cannot be had."""
    try:
        with bucket.model_child(recipe.limits, choice.device, AT_ONCE) as worker:
            [found] = worker.run(child.describe, [choice], None)
    except PipelineError as error:
        return str(error)
    return f"{found.code}: {found.message}" if isinstance(found, Death) else found
