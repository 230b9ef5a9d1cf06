"""A run's folder read for its model card, and the card written into it."""

import hashlib
import json
import os

import torch
from pydantic import ValidationError

from flows.screens.model_card import (
    CARD,
    DOCUMENT,
    Evaluation,
    Figures,
    FoundCorpus,
    ModelFacts,
    model_card,
    model_facts,
)
from pipelines.build.versions import last_version
from pipelines.errors import PipelineError
from pipelines.storage.store import Store, digest
from training.diffusion.model import LatentDiffusion
from training.errors import TrainingError
from training.evaluation.report import EvaluationReport
from training.metrics.summary import Figure
from training.run import metrics_log
from training.run.checkpoints import CORPUS, RECIPE, Checkpoint, find_checkpoint, is_of_codes
from training.run.corpus_survey import CorpusSurvey, dataset_json
from training.run.recipe import TrainRecipe
from training.tokens.net import TokenNet
from training.tokens.recipe import TokensRecipe


def write_model_card(out: str, report: bytes | None = None) -> ModelFacts:
    """Write README.md and model.json into a run's folder, of its last checkpoint.

    Raises `TrainingError` where it has none.

    `report` is the report.json of an evaluation; without one, that of the same checkpoint stays on
    the card.
    """
    checkpoint = find_checkpoint(out, files=(RECIPE, CORPUS))
    recipe, survey = _recipe_of(checkpoint), checkpoint.record(CORPUS, CorpusSurvey)
    facts = model_facts(
        checkpoint.store.url.rstrip("/").rpartition("/")[2],
        recipe,
        survey,
        checkpoint.state(),
        checkpoint=checkpoint.folder,
        parameters=parameters_of(recipe),
        found=[found_at(dataset.target) for dataset in survey.datasets],
        figures=last_figures(checkpoint.store),
        evaluation=_stored_evaluation(checkpoint) if report is None else evaluation_of(report),
    )
    checkpoint.store.write_json(DOCUMENT, facts.model_dump(mode="json"))
    checkpoint.store.write_bytes(CARD, model_card(facts).encode())
    return facts


def _recipe_of(checkpoint: Checkpoint) -> TrainRecipe | TokensRecipe:
    if is_of_codes(checkpoint):
        return checkpoint.record(RECIPE, TokensRecipe)
    return checkpoint.record(RECIPE, TrainRecipe)


def evaluation_of(report: bytes) -> Evaluation:
    """What a card says of an evaluation, from its report.json.

    Raises `TrainingError` for anything else.
    """
    try:
        found = EvaluationReport.model_validate_json(report)
    except ValidationError as error:
        first = error.errors()[0]
        raise TrainingError(
            "this is not a report.json of this version: "
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        ) from error
    space = found.space
    cosine = space.prompt_cosine.value if space.prompt_cosine else None
    endless, zero = space.frechet_infinity, space.frechet_zero
    distances = {
        space.cosine_name: cosine,
        f"Fréchet distance, n {space.frechet_clips} and {space.reference_clips}": space.frechet,
        "FAD∞": endless.at_infinity if endless else None,
        "FAD∞ of two halves of the reference": zero.at_infinity if zero else None,
        f"KL over {space.classes} zero-shot names": space.kl_sets,
    }
    return Evaluation(
        report_sha256=hashlib.sha256(report).hexdigest(),
        checkpoint=found.checkpoint,
        reference=found.reference,
        reference_split=found.reference_split,
        seed=found.seed,
        clips=found.counts.scored - found.counts.swaps,
        figures=found.figures,
        distances={
            f"{name} ({space.embedder})": value
            for name, value in distances.items()
            if value is not None
        },
        memorized=_memorized(found),
        memorized_samples=found.memorized.samples if found.memorized else 0,
    )


def _memorized(report: EvaluationReport) -> tuple[Figure, ...]:
    found = report.memorized
    sets = (found.played, found.by_training_prompts, found.held_out) if found else ()
    return tuple(one for shares in sets if shares for one in (shares.copies, shares.nearer) if one)


def _stored_evaluation(checkpoint: Checkpoint) -> Evaluation | None:
    """What the card of the same checkpoint says of its evaluation."""
    if not checkpoint.store.exists(DOCUMENT):
        return None
    try:
        before = ModelFacts.model_validate_json(checkpoint.store.read_bytes(DOCUMENT))
    except ValidationError:  # another version's, or damaged: it is written anew
        return None
    return before.evaluation if before.checkpoint == checkpoint.folder else None


def parameters_of(recipe: TrainRecipe | TokensRecipe) -> int:
    """How many numbers the model of a recipe has, those that an adapter leaves among them."""
    model: LatentDiffusion | TokenNet
    with torch.device("meta"):  # shapes alone
        if isinstance(recipe, TokensRecipe):
            model = TokenNet(recipe.model, recipe.codes)
        else:
            model = LatentDiffusion(recipe.model, recipe.objective)
    return sum(parameter.numel() for parameter in model.parameters())


def found_at(target: str) -> FoundCorpus | None:
    """The dataset.json at a corpus's place; none where there is none, or it cannot be reached or
    read any more.
    """
    try:
        content = dataset_json(target)
        dataset = json.loads(content) if content else None
        version = last_version(Store(target)) if content else None
    except (TrainingError, PipelineError, OSError, ValueError, RecursionError):
        return None
    if not content:
        return None
    published = version is not None and version.dataset_sha256 == digest(dataset)
    number = version.number if version is not None and published else None
    return FoundCorpus(sha256=hashlib.sha256(content).hexdigest(), version=number)


def last_figures(store: Store) -> Figures:
    """The last losses and the last pace in a run's log; empty where it has none yet."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not store.is_local or not os.path.isdir(store.path(metrics_log.FOLDER)):
        return Figures()
    log = EventAccumulator(store.path(metrics_log.FOLDER), size_guidance={"scalars": 0})
    log.Reload()
    known = log.Tags()["scalars"]
    names = {
        "train_loss": "loss/train",
        "validation_loss": "loss/validation",
        "samples_per_s": "pace/samples_per_s",
    }
    return Figures(
        **{field: log.Scalars(name)[-1].value for field, name in names.items() if name in known}
    )
