"""The flow from music to a measured model: build, label, encode, train, evaluate in one run.

Its folder::

    corpus/   the build: dataset.json names recipe, tools, licences and shards
    model/    the run: model.json names the dataset.json by its SHA-256, the training recipe, and
              the figures of the report
    report/   what `obbligato evaluate` found: report.json, and a page to look at and listen to
"""

import os
from pathlib import Path
from typing import Any, Final

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE

from flows.build.run_step import absolute
from flows.build.step_process import ProcessGroup
from flows.deployments.artifacts import key
from flows.deployments.build_corpus import EngineSettings, Share, build_corpus
from flows.deployments.train import shown_model, train_model
from flows.errors import UsageError
from flows.launchers import Launching
from flows.launchers.command import train_job
from flows.models.evaluation import PAGE, REPORT, EvaluationChoice, EvaluationRequest
from flows.models.memorization import check_memorized
from flows.models.training_run import train_recipe
from flows.screens.model_card import DOCUMENT
from pipelines.engine.child_process import module_command
from pipelines.storage.store import Store
from schemas.recipe import Recipe
from training.evaluation.report import EvaluationReport
from training.run.recipe import TrainRecipe

CORPUS: Final = "corpus"
MODEL: Final = "model"
EVALUATION: Final = "report"


@flow(name="pipeline", flow_run_name="pipeline {out}", retries=0)
def pipeline(
    sources: list[str],
    out: str,
    recipe: Recipe = Recipe(),
    engine: EngineSettings = EngineSettings(),
    max_dead_share: Share = 0.05,
    preset: str = "tiny",
    settings: tuple[str, ...] = (),
    launching: Launching = Launching(),
    evaluation: EvaluationChoice = EvaluationChoice(),
) -> dict[str, Any]:
    """Build a corpus from music, train a model on it, and measure whether it plays what is asked.

    Run again, it goes on where it was.

    The build labels if its recipe names vocabularies, and encodes for the codec that is trained on.
    `settings` are knobs of the training recipe; `evaluation` says how it is measured, and by what.
    """
    out = absolute(out)
    corpus, model, report = (f"{out}/{name}" for name in (CORPUS, MODEL, EVALUATION))
    built_by = with_latents(recipe, train_recipe(preset, None, list(settings), [corpus]))
    # before the build, not after it
    launching.made.check(train_job([corpus], model, preset, settings, launching))
    totals = build_corpus(sources, corpus, built_by, engine, max_dead_share)
    trained = train_model([corpus], model, preset, settings, launching)
    if Store(model).exists(DOCUMENT):
        evaluate_model(model, corpus, report, evaluation)
        trained = {**trained, **described(model, report)}
        found = EvaluationReport.model_validate_json(Store(report).read_bytes(REPORT))
        check_memorized(found, evaluation.options.max_memorized)
    else:
        report = ""
        get_run_logger().warning(
            "%s cannot be seen from here: measure it where it lies, by obbligato evaluate %s %s",
            model,
            model,
            corpus,
        )
    return {"corpus": totals, "model": trained, "report": report}


def with_latents(recipe: Recipe, training: TrainRecipe) -> Recipe:
    """The recipe of the build with latents of the codec that is trained on.

    Raises `UsageError` where it asks for those of another.

    >>> from training.run.presets import ready_recipe
    >>> with_latents(Recipe(), ready_recipe("tiny")).encode.codec
    'mel'
    """
    codec = training.codec
    if recipe.encodes and (recipe.encode.codec, recipe.encode.source) != (codec.name, codec.source):
        raise UsageError(
            f"the build encodes with {recipe.encode.codec} {recipe.encode.source}, but the "
            f"training recipe's codec is {codec.name} "
            f"{codec.source}: leave encode.codec empty, or set codec.name and codec.source"
        )
    return recipe.replaced(encode=recipe.encode.replaced(codec=codec.name, source=codec.source))


@task(task_run_name="evaluate", cache_policy=NO_CACHE, retries=0)
def evaluate_model(model: str, corpus: str, report: str, evaluation: EvaluationChoice) -> None:
    """Have a model play the corpus's test prompts and score it.

    In a process of its own: models leave memory with it.
    """
    request = EvaluationRequest(
        target=model,
        shards=corpus,
        out=Path(report),
        recipe=evaluation.recipe,
        options=evaluation.options,
    )
    command = module_command("flows.models.evaluation", request.model_dump_json())
    group = ProcessGroup(
        module_command("flows.launchers.node", "--parent", str(os.getpid()), "--", *command)
    )
    try:
        for _, line in group.lines():
            get_run_logger().info(line)
        status = group.ended()
    except BaseException:
        group.close()
        raise
    if status:
        raise UsageError(
            f"the evaluation ended with status {status}; the log of this run has its words"
        )
    create_link_artifact(
        f"file://{report}/{PAGE}",
        link_text=report,
        key=key("report", os.path.basename(os.path.dirname(report))),
    )


def described(model: str, report: str) -> dict[str, Any]:
    """Put the figures of a report into the model card and show it."""
    from flows.screens.model_files import write_model_card

    facts = write_model_card(model, Store(report).read_bytes(REPORT))
    return {**shown_model(model), "evaluation": facts.evaluation.values if facts.evaluation else {}}
