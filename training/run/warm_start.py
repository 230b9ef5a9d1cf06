"""Weights that a run begins with: those of another run, or of a published model that was imported.

What is averaged there plays there, and is begun with here. Where all that a run learns lies on top
of its parent's weights (`training.adapters`), the parent is read again to go on and to play.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from pipelines.codecs import CodecFacts
from pipelines.storage.store import Store
from training.adapters.low_rank import merged
from training.diffusion.model import LatentDiffusion
from training.distillation.config import DistilRecipe
from training.distillation.teacher import Teacher
from training.errors import TrainingError
from training.nets import NetConfig
from training.run.checkpoints import (
    ADAPTER,
    CORPUS,
    PLAYED,
    RECIPE,
    Checkpoint,
    find_checkpoint,
    is_of_codes,
)
from training.run.corpus_survey import CorpusSurvey
from training.run.model_weights import check_shapes, fill_weights
from training.run.recipe import TrainRecipe
from training.run.run_state import Parent
from training.run.tensor_files import Weights

_MOST_PARENTS: Final = 16  # adapters on top of each other
# of a net that has no tokens of beats and chords, what they would be like
_OF_TOKENS: Final = (
    "control_width",
    "chord_roots",
    "time_unit_s",
    "time_base",
    "frame_rate_hz",
)
_OF_ROWS: Final = ("row_width", "row_branch")


class WarmStart(NamedTuple):
    """What a run begins with."""

    parents: tuple[Parent, ...]  # the oldest first; the last is it
    notes: tuple[str, ...]


def warm_start(recipe: TrainRecipe, codec: CodecFacts) -> WarmStart:
    """Look at what `run.start_from` names.

    Raises `TrainingError` where that is not there, or does not fit: net, target, codec.
    """
    checkpoint, theirs, survey = played_model(recipe.run.start_from)
    _check_fit(checkpoint, theirs, recipe)
    if not codec.has_latents_of(survey.codec):
        raise TrainingError(
            f"{checkpoint.name} has learned latents of {survey.codec.name} "
            f"{survey.codec.version}, but the codec here is {codec.name} {codec.version}: its "
            "weights are of no use for these; take its codec"
        )
    state = checkpoint.state()
    is_imported = bool(state.parents) and not state.samples
    parent = Parent(
        name=f"{state.parents[-1].name}, imported"
        if is_imported
        else checkpoint.run.rstrip("/").rpartition("/")[2],
        address=checkpoint.place,
        sha256=state.files.get(checkpoint.played, ""),
        is_teacher=recipe.model.jumps,
    )
    notes = [
        f"begins with {checkpoint.name} (step {state.step}); {section} = {ours} (was {before})"
        for section, ours, before in (
            ("text.source", recipe.text.source, theirs.text.source),
            ("objective", recipe.objective, theirs.objective),
        )
        if ours != before
    ]
    return WarmStart((*state.parents, parent), tuple(notes))


class PlayedModel(NamedTuple):
    """What plays, but for its weights (`played_weights`)."""

    checkpoint: Checkpoint
    recipe: TrainRecipe
    survey: CorpusSurvey


def played_model(target: str) -> PlayedModel:
    """The model of a checkpoint, or of the last whole one of a run.

    Raises `TrainingError` where there is none, or what plays in it is damaged.
    """
    found = find_checkpoint(target, files=(*PLAYED, RECIPE, CORPUS))
    return PlayedModel(found, latents_recipe(found), found.record(CORPUS, CorpusSurvey))


def latents_recipe(checkpoint: Checkpoint) -> TrainRecipe:
    """The recipe of a model of latents.

    Raises `TrainingError` for a model of codes, and where it cannot be read.
    """
    if is_of_codes(checkpoint):
        raise TrainingError(
            f"{checkpoint.name} is a model of codes, which `sample` alone plays; take a model of "
            "latents"
        )
    return checkpoint.record(RECIPE, TrainRecipe)


def parent_weights(parent: Parent) -> Weights:
    """The weights of a parent, as it plays.

    Raises `TrainingError` where it is gone, or is not what it was.
    """
    return _played(_parent_checkpoint(parent), _MOST_PARENTS)


def teacher_of(parent: Parent, weights: Weights, rules: DistilRecipe) -> Teacher:
    """A student's teacher, with its weights (`parent_weights`), and how it plays.

    Raises `TrainingError` where it cannot be one.
    """
    checkpoint = _parent_checkpoint(parent)
    recipe, survey = checkpoint.record(RECIPE, TrainRecipe), checkpoint.record(CORPUS, CorpusSurvey)
    with torch.device("meta"):  # shapes alone
        check_shapes(LatentDiffusion(recipe.model, recipe.objective), weights, checkpoint.name)
    model = LatentDiffusion(recipe.model, recipe.objective)
    fill_weights(model, weights, checkpoint.name)
    return Teacher.of(model, recipe.sampling, survey.latent_range, rules)


def played_weights(checkpoint: Checkpoint) -> Weights:
    """The weights of a checkpoint that play: an adapter's on top of its parent's."""
    return _played(checkpoint, _MOST_PARENTS)


def _played(checkpoint: Checkpoint, most: int) -> Weights:
    if checkpoint.played != ADAPTER:
        return checkpoint.weights(checkpoint.played)
    parents = checkpoint.state().parents
    if not parents or not most:
        raise TrainingError(f"{checkpoint.name} is an adapter of nothing that can be found")
    rules = checkpoint.record(RECIPE, TrainRecipe).adapter
    base = _played(_parent_checkpoint(parents[-1]), most - 1)
    return merged(base, checkpoint.weights(ADAPTER), rules.scale)


def _parent_checkpoint(parent: Parent) -> Checkpoint:
    if not Store(parent.address).is_local:  # data says where: nothing is fetched for it
        raise TrainingError(f"{parent.address}: the parent of a model lies in a local folder")
    try:
        found = find_checkpoint(parent.address, files=(*PLAYED, RECIPE, CORPUS))
    except TrainingError as error:
        raise TrainingError(
            f"{parent.address}, whose weights these lie on top of, is gone or damaged: put it back "
            f"({error})"
        ) from error
    if found.state().files.get(found.played, "") != parent.sha256:
        raise TrainingError(
            f"{parent.address} holds other weights than those that were begun with (sha256 "
            f"{parent.sha256[:16]}…): put them back"
        )
    return found


def adapter_origin(recipe: TrainRecipe, parents: Sequence[Parent]) -> dict[str, str] | None:
    """What an adapter's file says of itself: without its parent it plays nothing."""
    if not recipe.adapter.is_used:
        return None
    parent, rules = parents[-1], recipe.adapter
    return {
        "parent": parent.name,
        "parent_sha256": parent.sha256,
        "rank": str(rules.rank),
        "scale": f"{rules.scale:g}",
    }


def _check_fit(checkpoint: Checkpoint, theirs: TrainRecipe, ours: TrainRecipe) -> None:
    """Raise `TrainingError` where a net cannot begin with another's weights and play as it does."""
    if theirs.model.jumps:
        raise TrainingError(
            f"{checkpoint.name} is a student, which was distilled: it teaches none, and is not "
            "trained on. Begin with its teacher, which its card names"
        )
    if ours.model.jumps:
        _check_teacher(checkpoint, theirs, ours)
    strange = misfits(theirs.model, ours.model)
    there, here = theirs.objective.target, ours.objective.target
    if there != here:
        strange.append(f"what is predicted, by objective: {here} (there {there})")
    if strange:
        raise TrainingError(
            f"{checkpoint.name} cannot be begun with: {'; '.join(strange)}. Take its own, or begin "
            "without run.start_from"
        )


def _check_teacher(checkpoint: Checkpoint, theirs: TrainRecipe, ours: TrainRecipe) -> None:
    """Raise `TrainingError` where a student's net is not its teacher's but for its jumps, or is
    told other things, or goes another way.
    """
    pairs = {
        "model": (theirs.model, ours.model.replaced(jumps=False)),
        "objective": (theirs.objective, ours.objective),
        "text": (theirs.text, ours.text.replaced(cache_mb=theirs.text.cache_mb)),
    }
    strange = [
        f"{section}.{knob} = {_shown(getattr(here, knob, None))} (there "
        f"{_shown(getattr(there, knob, None))})"
        for section, (there, here) in pairs.items()
        for knob in type(here).model_fields
        if getattr(here, knob) != getattr(there, knob, None)
    ]
    if strange:
        raise TrainingError(
            f"{checkpoint.name} cannot be the teacher: {'; '.join(strange)}. A student has its "
            "teacher's net, objective and text"
        )


def misfits(theirs: NetConfig, ours: NetConfig) -> list[str]:
    """Knobs in which a net is not another, or another with parts beside it that begin as nothing:
    frame rows, tokens of controls, seconds; of these tokens are looked at from the first step on.

    >>> from training.munet.config import preset
    >>> blind = preset("base").blind()
    >>> misfits(blind, preset("base")), misfits(preset("base"), blind)
    ([], ['model.controls = () (there beats, chords)'])
    """
    if theirs.kind != ours.kind:
        return [f"model.kind = {ours.kind} (there {theirs.kind})"]
    free: set[str] = set()
    if set(ours.controls) >= set(theirs.controls):
        free.add("controls")
    if not theirs.controls:
        free.update(_OF_TOKENS)
    if not theirs.rows:
        free.update(("rows", *_OF_ROWS))
    if ours.seconds:
        free.add("seconds")
    if not theirs.seconds:
        free.add("seconds_as")
    if ours.jumps:
        free.add("jumps")
    return [
        f"model.{knob} = {_shown(getattr(ours, knob))} (there {_shown(getattr(theirs, knob))})"
        for knob in type(ours).model_fields
        if knob not in free and getattr(ours, knob) != getattr(theirs, knob)
    ]


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "()" if isinstance(value, tuple) else str(value)
