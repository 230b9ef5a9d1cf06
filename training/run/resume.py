"""What a run begins with: its corpora, its last checkpoint, and whether they belong together.

The first process looks and broadcasts to all others: listings and reads may differ from machine to
machine, what they learn must not.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from pipelines.codecs import Codec, CodecFacts
from pipelines.storage.store import Store
from schemas.identity import Split
from schemas.record import Record
from training.data.index import CorpusIndex, index_corpus
from training.data.order import ORDER_VERSION
from training.data.silence import silent_latent
from training.errors import NoSamples, TrainingError
from training.run import checkpoints
from training.run.checkpoints import CORPUS, RECIPE, Checkpoint
from training.run.corpus_survey import (
    CorpusState,
    CorpusSurvey,
    DatasetFacts,
    corpus_state,
    latent_range,
    survey_corpora,
    widened_range,
)
from training.run.parallel import World
from training.run.recipe import LearningRecipe, TrainRecipe
from training.run.run_state import Parent, RunState
from training.run.warm_start import warm_start

_INDEX: Final = "index"
# What weights depend on; a run goes on with all else changed if its user wants so.
_FIXED: Final = ("model", "objective", "codec", "text", "adapter", "distil")
_PLAYED_BY: Final = "codec.vocoder"  # no weight and no latent depends on it


class RunStart(NamedTuple):
    """All that a run has to know before its first step."""

    last: str  # folder of the checkpoint to go on from; empty: there is none
    damaged: tuple[str, ...]  # folders of newer ones that are not what was written
    corpora: list[CorpusIndex]
    validation: list[CorpusIndex]  # validation of those that have it
    survey: CorpusSurvey
    notes: list[str]  # to be reported
    parents: tuple[Parent, ...]  # what the weights come from
    reads_parent: bool  # whether the last of these is needed now


def run_start(recipe: TrainRecipe, store: Store, codec: Codec, device: torch.device) -> RunStart:
    """Look; `device` is the codec's.

    Raises `TrainingError` where shards cannot be read, no checkpoint is whole, or the last one is
    of another recipe or codec.
    """
    if recipe.model.jumps and not recipe.run.start_from:
        raise TrainingError(
            "model.jumps is of a student, which begins as its teacher: name that with "
            "`train --distil`"
        )
    _check_own(store)
    newest = checkpoints.newest_whole(store, (*checkpoints.RUN, *checkpoints.PLAYED))
    notes = [one.line for one in newest.damaged]
    parents: tuple[Parent, ...] = ()
    corpora = _train_corpora(recipe, store)
    if newest.whole:
        parents = newest.whole.state().parents
        notes += _recipe_changes(newest.whole, recipe, _FIXED) + _other_order(newest.whole)
        survey, changed = _gone_on(newest.whole, recipe, corpora, codec, device)
        notes += changed
    else:
        if recipe.run.start_from:
            begun = warm_start(recipe, codec.facts)
            parents = begun.parents
            notes += begun.notes
        survey = _surveyed(recipe, corpora, codec, device)
    notes += _unread_latents(corpora, codec.facts)
    validation, missing = _validation_corpora(recipe, store)
    damaged = tuple(one.checkpoint.folder for one in newest.damaged)
    return RunStart(
        last=newest.whole.folder if newest.whole else "",
        damaged=damaged,
        corpora=[corpus.corpus_index for corpus in corpora],
        validation=validation,
        survey=survey,
        notes=notes + missing,
        parents=parents,
        reads_parent=bool(parents)
        and (newest.whole is None or recipe.adapter.is_used or recipe.model.jumps),
    )


def _unread_latents(corpora: Sequence[CorpusState], codec: CodecFacts) -> list[str]:
    """Notes on corpora that hold latents which this codec cannot read."""
    return [
        f"{corpus.facts.target} holds latents of {held.name} {held.version}, none of {codec.name} "
        f"{codec.version}: its audio is encoded as it is read; set codec.name and codec.source to "
        "read them, or encode it anew"
        for corpus in corpora
        if (held := corpus.other_codec(codec)) is not None
    ]


def _surveyed(
    recipe: TrainRecipe, corpora: Sequence[CorpusState], codec: Codec, device: torch.device
) -> CorpusSurvey:
    seed = recipe.run.seed
    survey = survey_corpora(
        corpora, codec.facts, limit=recipe.run.survey, seed=seed, unusable=recipe.data.unusable
    )
    if not recipe.sampling.clamp:  # nothing else asks for it, and it reads latents
        return survey
    frames = codec.facts.frames(round(recipe.data.seconds * codec.facts.rate_hz))
    bounds = latent_range(corpora, survey, codec, device, frames=frames, seed=seed)
    if bounds and recipe.data.silence:
        bounds = widened_range(bounds, silent_latent(codec, frames, device))
    return survey.replaced(latent_range=bounds)


def _gone_on(
    last: Checkpoint,
    recipe: TrainRecipe,
    corpora: Sequence[CorpusState],
    codec: Codec,
    device: torch.device,
) -> tuple[CorpusSurvey, list[str]]:
    """The survey of a checkpoint; a new one, with the old ones too, where corpora changed."""
    before = learned_survey(last, codec.facts)
    now = tuple(corpus.facts for corpus in corpora)
    if before.datasets[-len(now) :] == now:
        return before, []
    made = _surveyed(recipe, corpora, codec, device)
    return made.replaced(datasets=_all_datasets(before.datasets, now)), [
        _corpora_changed(before.datasets, now)
    ]


def learned_survey(last: Checkpoint, present: CodecFacts) -> CorpusSurvey:
    """The survey of a checkpoint that a run goes on from.

    Raises `TrainingError` where its weights are for the latents, or codes, of another codec.
    """
    before = last.record(CORPUS, CorpusSurvey)
    if not present.has_latents_of(before.codec):
        learned, here = (f"{facts.name} {facts.version}" for facts in (before.codec, present))
        raise TrainingError(
            f"{last.name} has learned latents of {learned}, "
            f"but the codec here is {here}: take that one, or another --out"
        )
    return before


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


def corpus_start(
    recipe: LearningRecipe,
    store: Store,
    fixed: Sequence[str],
    kept: type[LearnedFrom] | type[CorpusSurvey] = LearnedFrom,
) -> CorpusStart:
    """Look; `kept` is what a checkpoint has of corpora.

    Raises `TrainingError` where shards cannot be read, no checkpoint is whole, or the last one is
    of a recipe whose `fixed` sections were others.
    """
    newest = checkpoints.newest_whole(store)
    notes = [one.line for one in newest.damaged]
    corpora = _train_corpora(recipe, store)
    now = tuple(one.facts for one in corpora)
    learned_from = LearnedFrom(datasets=now)
    if newest.whole:
        notes += _recipe_changes(newest.whole, recipe, fixed) + _other_order(newest.whole)
        before = newest.whole.record(CORPUS, kept).datasets
        if before[-len(now) :] != now:
            notes.append(_corpora_changed(before, now))
        learned_from = LearnedFrom(datasets=_all_datasets(before, now))
    validation, missing = _validation_corpora(recipe, store)
    return CorpusStart(
        last=newest.whole.folder if newest.whole else "",
        damaged=tuple(one.checkpoint.folder for one in newest.damaged),
        corpora=[one.corpus_index for one in corpora],
        validation=validation,
        learned_from=learned_from,
        notes=notes + missing,
    )


def _train_corpora(recipe: LearningRecipe, store: Store) -> list[CorpusState]:
    """What is learned from, as it is now."""
    return [
        corpus_state(target, _offsets_file(store, Split.TRAIN, number))
        for number, target in enumerate(recipe.data.shards)
    ]


def _all_datasets(
    before: Sequence[DatasetFacts], now: Sequence[DatasetFacts]
) -> tuple[DatasetFacts, ...]:
    """All that was ever learned from, the present ones last."""
    return (*(facts for facts in before if facts not in now), *now)


def _corpora_changed(before: Sequence[DatasetFacts], now: Sequence[DatasetFacts]) -> str:
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


def _offsets_file(store: Store, split: Split, number: int) -> str:
    """Where a run keeps where the samples of its corpora stand; written anew at each start."""
    return store.path(f"{_INDEX}/{split}-{number}.offsets")


def _validation_corpora(
    recipe: LearningRecipe, store: Store
) -> tuple[list[CorpusIndex], list[str]]:
    """Validation of all corpora that have one, and notes on those that have none."""
    validation, notes = [], []
    for number, target in enumerate(recipe.data.shards if recipe.data.validation else ()):
        file = _offsets_file(store, Split.VALIDATION, number)
        try:
            validation.append(index_corpus(target, Split.VALIDATION, file))
        except NoSamples:  # shards of others have no such split
            notes.append(f"{target} has no validation split: no loss is followed on it")
    return validation, notes


def _other_order(last: Checkpoint) -> list[str]:
    """A note, where the samples of a run came in an order that a seed does not mean any more."""
    before = last.state().order
    if before == ORDER_VERSION:
        return []
    return [
        f"the order of samples has changed since the last checkpoint (version {before}, now "
        f"{ORDER_VERSION}): in the epoch in hand some come twice, and others not at all; from the "
        "next one on each comes once again"
    ]


def _check_own(store: Store) -> None:
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


def _recipe_changes(last: Checkpoint, recipe: LearningRecipe, fixed: Sequence[str]) -> list[str]:
    """Notes on what has changed in the recipe since a checkpoint.

    Raises `TrainingError` for a change in the `fixed` sections: it would make the weights useless.
    """
    before = last.record(RECIPE, type(recipe))
    changed = [
        change
        for section in type(recipe).model_fields
        for change in _changed(section, getattr(recipe, section), getattr(before, section))
    ]
    useless = [
        change
        for change in changed
        if change.partition(".")[0] in fixed and not change.startswith(f"{_PLAYED_BY} ")
    ]
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
