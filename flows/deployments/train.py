"""The flow that trains a model through a launcher, resumes it after a stop, and describes it."""

import json
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows.build.run_step import absolute
from flows.deployments.artifacts import key
from flows.errors import UsageError
from flows.launchers import JobEnd, Launching, TrainJob, followed
from flows.launchers.command import check_end, stopped, train_job
from flows.models.training_run import train_recipe
from flows.screens.model_card import CARD, DOCUMENT
from pipelines.storage.store import Store
from pipelines.trust.trusted import trust
from training.run.recipe import foreign_names

Shards = Annotated[
    list[str],
    Field(min_length=1, description="Builds, folders of shards, globs or URLs to learn from."),
]


@task(task_run_name="train, turn {turn}", cache_policy=NO_CACHE, retries=0)
def take_turn(turn: int, job: TrainJob, launching: Launching) -> JobEnd:
    """Submit a job and follow it to its end; what it prints goes to the log.

    However this ends, nothing of the job runs on.
    """
    logger = get_run_logger()
    return followed(launching.made, job, logger.info)


@flow(name="train", flow_run_name="train {out}", retries=0)
def train_model(
    shards: Shards,
    out: str,
    preset: str = "tiny",
    settings: tuple[str, ...] = (),
    launching: Launching = Launching(),
) -> dict[str, Any]:
    """Train a model on shards, or go on with one. Returns what its model card says, in short.

    `settings` are knobs of the training recipe, as section.key=value; `launching` says where it
    runs. A cancelled run leaves a checkpoint where there is time for one; another run of the same
    folder goes on from the last.
    """
    recipe = train_recipe(preset, None, list(settings), shards)  # refused before anything starts
    trust(out, foreign_names(recipe.text, recipe.codec))
    job = train_job(shards, out, preset, settings, launching)
    launching.made.check(job)
    for turn in range(1, job.requeues + 2):
        ended = take_turn(turn, job, launching)
        if not ended.requeue:
            break
        get_run_logger().warning(
            "stopped from outside with more to do, in turn %d of at most %d", turn, job.requeues + 1
        )
    check_end(ended, job.out)
    if ended.status:
        raise UsageError(stopped(ended, job))
    return shown_model(job.out)


def shown_model(out: str) -> dict[str, Any]:
    """Show the model card of a run; where its folder is on other machines, say where to look."""
    store, name = Store(out), absolute(out).rstrip("/").rpartition("/")[2]
    url = out if "://" in out else f"file://{out}"
    create_link_artifact(
        url,
        link_text=out,
        key=key("model-folder", name),
        description=f"Checkpoints and log of {name}",
    )
    if not store.exists(DOCUMENT):
        get_run_logger().warning(
            "%s cannot be seen from here: its model card is %s there", out, CARD
        )
        return {"out": out}
    create_markdown_artifact(
        store.read_bytes(CARD).decode(), key=key("model", name), description=f"Model card of {name}"
    )
    facts = json.loads(store.read_bytes(DOCUMENT))
    return {
        "out": out,
        **{
            name: facts[name]
            for name in ("checkpoint", "step", "samples", "recipe_sha256", "figures")
        },
    }
