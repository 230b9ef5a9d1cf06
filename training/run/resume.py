"""What a run begins with: its corpora, its last checkpoint, and whether they belong together.

The first process looks and broadcasts to all others: listings and reads may differ from machine to
machine, what they learn must not.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pipelines.codecs import Codec
from pipelines.storage.store import Store
from schemas.identity import Split
from training.data.index import CorpusIndex
from training.errors import TrainingError
from training.run import checkpoints
from training.run.checkpoints import CORPUS, Checkpoint
from training.run.corpus_start import (
    check_own,
    corpora_changed,
    offsets_file,
    other_order,
    recipe_changes,
    validation_corpora,
)
from training.run.corpus_survey import (
    CorpusState,
    CorpusSurvey,
    corpus_state,
    latent_range,
    survey_corpora,
)
from training.run.recipe import TrainRecipe
from training.run.run_state import Parent
from training.run.warm_start import warm_start

# What weights depend on; a run goes on with all else changed if its user wants so.
_FIXED: Final = ("model", "objective", "codec", "text", "adapter", "distil")


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


def run_start(recipe: TrainRecipe, store: Store, codec: Codec) -> RunStart:
    """Look.

    Raises `TrainingError` where shards cannot be read, no checkpoint is whole, or the last one is
    of another recipe or codec.
    """
    if recipe.model.jumps and not recipe.run.start_from:
        raise TrainingError(
            "model.jumps is of a student, which begins as its teacher: name that with "
            "`train --distil`"
        )
    check_own(store)
    newest = checkpoints.newest_whole(store, (*checkpoints.RUN, *checkpoints.PLAYED))
    notes = [one.line for one in newest.damaged]
    parents: tuple[Parent, ...] = ()
    corpora = [
        corpus_state(target, offsets_file(store, Split.TRAIN, number))
        for number, target in enumerate(recipe.data.shards)
    ]
    if newest.whole:
        parents = newest.whole.state().parents
        notes += recipe_changes(newest.whole, recipe, _FIXED) + other_order(newest.whole)
        survey, changed = _gone_on(newest.whole, recipe, corpora, codec)
        notes += changed
    else:
        if recipe.run.start_from:
            begun = warm_start(recipe, codec.facts)
            parents = begun.parents
            notes += begun.notes
        survey = _surveyed(recipe, corpora, codec)
    validation, missing = validation_corpora(recipe, store)
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


def _surveyed(recipe: TrainRecipe, corpora: Sequence[CorpusState], codec: Codec) -> CorpusSurvey:
    seed = recipe.run.seed
    survey = survey_corpora(
        corpora, codec.facts, limit=recipe.run.survey, seed=seed, unusable=recipe.data.unusable
    )
    if not recipe.sampling.clamp:  # nothing else asks for it, and it reads latents
        return survey
    bounds = latent_range(corpora, survey, codec, seconds=recipe.data.seconds, seed=seed)
    return survey.replaced(latent_range=bounds)


def _gone_on(
    last: Checkpoint, recipe: TrainRecipe, corpora: Sequence[CorpusState], codec: Codec
) -> tuple[CorpusSurvey, list[str]]:
    """The survey of a checkpoint; a new one, with the old ones too, where corpora changed."""
    before = last.record(CORPUS, CorpusSurvey)
    if not codec.facts.has_latents_of(before.codec):
        learned, present = (
            f"{facts.name} {facts.version}" for facts in (before.codec, codec.facts)
        )
        raise TrainingError(
            f"{last.name} has learned latents of {learned}, "
            f"but the codec here is {present}: take that one, or another --out"
        )
    now = tuple(corpus.facts for corpus in corpora)
    if before.datasets[-len(now) :] == now:
        return before, []
    made = _surveyed(recipe, corpora, codec)
    earlier = tuple(facts for facts in before.datasets if facts not in now)
    return made.replaced(datasets=(*earlier, *now)), [corpora_changed(before.datasets, now)]
