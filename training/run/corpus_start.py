"""What any run begins with: its corpora, and its last checkpoint, if that is of the same recipe.

The first process looks and broadcasts to all others: listings and reads may differ from machine to
machine, what they learn must not. `resume` adds what a model asks of its corpora and codec.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pipelines.storage.store import Store
from schemas.identity import Split
from schemas.record import Record
from training.data.index import CorpusIndex, index_corpus
from training.data.order import ORDER_VERSION
from training.errors import NoSamples, TrainingError
from training.run import checkpoints
from training.run.checkpoints import CORPUS, RECIPE, Checkpoint
from training.run.corpus_survey import DatasetFacts, corpus_state
from training.run.parallel import World
from training.run.recipe import LearningRecipe
from training.run.run_state import RunState

_INDEX: Final = "index"


class LearnedFrom(Record):
    """The corpora of a run, those first that were learned from before the present ones; kept beside
    its checkpoints.
    """

    datasets: tuple[DatasetFacts, ...]


class CorpusStart(NamedTuple):
    """What a run knows before its first step that asks no more of corpora than their sound."""

    last: str  # folder of the checkpoint to go on from; empty: there is none
    damaged: tuple[str, ...]  # folders of newer ones that are not what was written
    corpora: list[CorpusIndex]
    validation: list[CorpusIndex]
    learned_from: LearnedFrom
    notes: list[str]  # to be reported

    def line(self, recipe: LearningRecipe, world: World) -> str:
        """How a run that begins is announced."""
        samples, batch = sum(map(len, self.corpora)), recipe.data.batch
        return (
            f"{samples} samples of {len(self.corpora)} corpora · {recipe.run.steps} steps of "
            f"{batch} excerpts of {recipe.data.seconds:g} s · {world.ranks} × "
            f"{world.device.type}, {recipe.run.precision}"
        )


def corpus_start(recipe: LearningRecipe, store: Store, fixed: Sequence[str]) -> CorpusStart:
    """Look.

    Raises `TrainingError` where shards cannot be read, no checkpoint is whole, or the last one is
    of a recipe whose `fixed` sections were others.
    """
    newest = checkpoints.newest_whole(store)
    notes = [one.line for one in newest.damaged]
    corpora = [
        corpus_state(target, offsets_file(store, Split.TRAIN, number))
        for number, target in enumerate(recipe.data.shards)
    ]
    now = tuple(one.facts for one in corpora)
    learned_from = LearnedFrom(datasets=now)
    if newest.whole:
        notes += recipe_changes(newest.whole, recipe, fixed) + other_order(newest.whole)
        before = newest.whole.record(CORPUS, LearnedFrom).datasets
        if before[-len(now) :] != now:
            notes.append(corpora_changed(before, now))
        earlier = tuple(facts for facts in before if facts not in now)
        learned_from = LearnedFrom(datasets=(*earlier, *now))
    validation, missing = validation_corpora(recipe, store)
    return CorpusStart(
        last=newest.whole.folder if newest.whole else "",
        damaged=tuple(one.checkpoint.folder for one in newest.damaged),
        corpora=[one.corpus_index for one in corpora],
        validation=validation,
        learned_from=learned_from,
        notes=notes + missing,
    )


def corpora_changed(before: Sequence[DatasetFacts], now: Sequence[DatasetFacts]) -> str:
    """A note."""
    return (
        "the corpora have changed since the last checkpoint: "
        f"so far {_named(before)}; from here on {_named(now)}"
    )


def _named(datasets: Sequence[DatasetFacts]) -> str:
    return ", ".join(
        f"{one.target} ({one.samples} samples{f', sha256 {one.sha256[:8]}' if one.sha256 else ''})"
        for one in datasets
    )


def offsets_file(store: Store, split: Split, number: int) -> str:
    """Where a run keeps where the samples of its corpora stand; written anew at each start."""
    return store.path(f"{_INDEX}/{split}-{number}.offsets")


def validation_corpora(recipe: LearningRecipe, store: Store) -> tuple[list[CorpusIndex], list[str]]:
    """Validation of all corpora that have one, and notes on those that have none."""
    validation, notes = [], []
    for number, target in enumerate(recipe.data.shards if recipe.data.validation else ()):
        file = offsets_file(store, Split.VALIDATION, number)
        try:
            validation.append(index_corpus(target, Split.VALIDATION, file))
        except NoSamples:  # shards of others have no such split
            notes.append(f"{target} has no validation split: no loss is followed on it")
    return validation, notes


def other_order(last: Checkpoint) -> list[str]:
    """A note, where the samples of a run came in an order that a seed does not mean any more."""
    before = last.state().order
    if before == ORDER_VERSION:
        return []
    return [
        f"the order of samples has changed since the last checkpoint (version {before}, now "
        f"{ORDER_VERSION}): in the epoch in hand some come twice, and others not at all; from the "
        "next one on each comes once again"
    ]


def check_own(store: Store) -> None:
    """Raise `TrainingError` for the folder of a model that was imported: nothing was learned there,
    and nothing is to be.
    """
    made = checkpoints.whole_ones(store)
    try:
        state = made[-1].state() if made else RunState(step=0)
    except TrainingError:  # damaged, which is told of whatever was learned
        return
    if state.parents and not state.samples:
        raise TrainingError(
            f"{store.url} holds a model that was imported: train from it into a folder of its own, "
            f"with --from {store.url} --out …"
        )


def recipe_changes(last: Checkpoint, recipe: LearningRecipe, fixed: Sequence[str]) -> list[str]:
    """Notes on what has changed in the recipe since a checkpoint.

    Raises `TrainingError` for a change in the `fixed` sections: it would make the weights useless.
    """
    before = last.record(RECIPE, type(recipe))
    changed = [
        change
        for section in type(recipe).model_fields
        for change in _changed(section, getattr(recipe, section), getattr(before, section))
    ]
    useless = [change for change in changed if change.partition(".")[0] in fixed]
    if useless:
        raise TrainingError(
            f"{last.name} was trained with another recipe: "
            f"{'; '.join(useless)}. Take another --out, or the same recipe"
        )
    return [f"changed since the last checkpoint: {change}" for change in changed]


def _changed(section: str, now: Record, before: Record) -> list[str]:
    """What is not as it was in a section, which may be of another kind now."""
    old, new = before.model_dump(), now.model_dump()
    return [
        f"{section}.{knob} = {getattr(now, knob)} (was {getattr(before, knob, None)})"
        for knob in new
        if knob not in old or new[knob] != old[knob]
    ]
