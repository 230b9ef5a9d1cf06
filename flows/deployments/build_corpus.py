"""The flow that builds a dataset: a task per chain of steps, each in a process of its own, under
one lock.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, NamedTuple, Self

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.build import step_process
from flows.build.order import STEPS, steps_of
from flows.build.run_stage import StepReport, chains_of
from flows.build.run_step import absolute, begin, check, new_run, timed, trust_recipe
from flows.build.step_process import StepFailed, StepOrder
from flows.deployments.artifacts import StepProgressBar, show_dataset, show_rewording, show_steps
from flows.errors import UsageError
from pipelines.beam.options import Engine, engine_of
from pipelines.engine.stage import CorpusStep
from pipelines.stages.output.close import stated_dataset
from pipelines.stages.texts import paraphrase
from pipelines.storage.lock import Lock, hold
from pipelines.storage.store import Store
from pipelines.trust.build_folder import links_out
from pipelines.trust.trusted import requested
from schemas.counts import added, in_words
from schemas.recipe import Recipe

DEAD_EVENT: Final = "obbligato.dead-letters"
TAGS: Final = {
    paraphrase.STAGE.name: ("obbligato-llm",)
}  # `prefect concurrency-limit create obbligato-llm 1`: one run at a time asks the model
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class EngineSettings(BaseModel):
    """Where the work is done.

    `slices` shares of each stage run side by side: here, or on the Dask cluster at `dask`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: Positive = 1
    runner: str = "local"
    beam: tuple[str, ...] = ()
    slices: Positive = 1
    side_by_side: Positive = 2  # slices at a time where there is no Dask cluster
    dask: str = ""
    step_timeout_s: Annotated[float, Field(gt=0)] = 7 * 86_400

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.dask and self.slices < 2:
            raise ValueError(
                "a Dask cluster shares the work by slices: "
                "set slices to a few times the number of its workers"
            )
        return self

    @property
    def engine(self) -> Engine:
        """The Beam engine."""
        return engine_of(self.workers, self.runner, self.beam)


class BuildRun(NamedTuple):
    """A build that is under way: its steps' order, and what they have reported so far."""

    corpus: str
    order: StepOrder
    settings: EngineSettings
    lock: Lock
    recipe: Recipe
    reports: list[StepReport]


def _may_mend(_task: object, _run: object, state: Any) -> bool:
    """Whether a failed step is worth another try."""
    failure = state.result(raise_on_failure=False)
    return not (isinstance(failure, StepFailed) and failure.final)


@task(
    task_run_name="{steps} {share}",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=_may_mend,
    cache_policy=NO_CACHE,
)
def take_step(steps: str, share: str, order: StepOrder, corpus: str) -> list[dict[str, Any]]:
    """Take one step, or several of a chain with commas between, or a share of them, in a process
    of its own.

    Its output goes to the log, its progress to an artifact. Returns a report of each.
    """
    logger = get_run_logger()
    bar = StepProgressBar(corpus, f"{steps} {share}" if share else steps)
    # By its module: a Dask worker gets this function by value, with all that it names, and must use
    # the processes of its own.
    reports: list[dict[str, Any]] = step_process.PROCESSES.take(
        steps, share, order, bar.show, logger.warning
    )
    for report in reports:
        counts = ", ".join(f"{name} {count}" for name, count in in_words(report["counts"]))
        logger.info("%s: %s", report["step"], counts)
    return reports


@flow(flow_run_name="{steps} in slices", validate_parameters=False)
def slices(steps: str, order: StepOrder, corpus: str, of: int) -> list[list[dict[str, Any]]]:
    """Take all shares of a chain of steps side by side, as the task runner has room."""
    futures = [
        take_step.submit(steps, f"{number}/{of}", order, corpus) for number in range(1, of + 1)
    ]
    wait(futures)
    return [future.result() for future in futures]


@flow(name="build-corpus", flow_run_name="build {out}", retries=0)
def build_corpus(
    sources: list[str],
    out: str,
    recipe: Recipe = Recipe(),
    engine: EngineSettings = EngineSettings(),
    max_dead_share: Share = 0.05,
    shrink: bool = False,
) -> dict[str, Any]:
    """Build a dataset from music, or finish one. Returns its totals.

    Parameters are validated before anything starts. A run in a folder where another is at work is
    refused. An event `obbligato.dead-letters` reports to automations a share of dead inputs above
    `max_dead_share`. Without `shrink` it stops where many songs that are in force would go.
    """
    out = absolute(out)
    check(sources, out, recipe, engine.engine)
    trust_recipe(out, recipe, sources)
    with started_run(out, recipe, engine, shrink=shrink) as run:
        begin(sources, out, recipe)
        take_steps(run)
        return finished_run(run, max_dead_share)


@contextmanager
def started_run(
    out: str, recipe: Recipe, engine: EngineSettings, *, shrink: bool = False
) -> Iterator[BuildRun]:
    """A run that holds its output folder's lock; its steps' reports are shown however it ends."""
    if out.startswith("memory://"):
        raise UsageError(
            f"{out} lies in one process's memory, "
            "and steps run in others; name a folder or another URL"
        )
    with hold(Store(out), f"flow run {flow_run.name or 'without a name'}") as lock:
        # all of it was checked
        run_folder, holder, named = (
            new_run(),
            lock.holder.holder_id,
            (*requested(recipe), *links_out(Store(out))),
        )
        order = StepOrder(
            out,
            run_folder,
            engine.workers,
            engine.runner,
            engine.beam,
            holder,
            engine.step_timeout_s,
            named,
            shrink,
        )
        run = BuildRun(recipe.corpus.name, order, engine, lock, recipe, [])
        try:
            yield run
        finally:
            step_process.PROCESSES.close()
            show_steps(run.corpus, run.reports)
            show_rewording(run.corpus, run.reports)


def take_steps(run: BuildRun, *, after: str = "", until: str = "") -> None:
    """Take the steps of a run's recipe in order: all, or those after a step and up to another."""
    for chain in chains_of(steps_of(run.recipe, after=after, until=until), run.recipe):
        take(run, chain)


def take(run: BuildRun, chain: Sequence[str]) -> None:
    """Take a chain of steps as a task, or as many side by side."""
    run.lock.check()
    of, steps, first = run.settings.slices, ",".join(chain), STEPS[chain[0]]
    alone = isinstance(first, CorpusStep) or first.is_whole(run.recipe)
    if of == 1 or alone:
        tags = TAGS.get(first.name) if alone else None
        made = take_step.with_options(tags=tags)(steps, "", run.order, run.corpus)
        run.reports.extend(StepReport(**report) for report in made)
        return
    began = time.monotonic()
    found = slices.with_options(task_runner=_task_runner(run.settings))(
        steps, run.order, run.corpus, of
    )
    together = [
        _together([StepReport(**report) for report in of_step])
        for of_step in zip(*found, strict=True)
    ]
    run.reports.extend(timed(together, time.monotonic() - began))


def _task_runner(settings: EngineSettings) -> Any:
    if not settings.dask:
        return ThreadPoolTaskRunner(max_workers=settings.side_by_side)
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(address=settings.dask)


def _together(reports: Sequence[StepReport]) -> StepReport:
    """What the shares of a step did."""
    counts = added(report.counts for report in reports)
    buckets = sum(report.buckets for report in reports)
    ran = sum(report.run for report in reports)
    work_s = sum(report.work_s for report in reports)
    return StepReport(reports[0].step, counts, buckets, ran, work_s=round(work_s, 3))


def finished_run(run: BuildRun, max_dead_share: float) -> dict[str, Any]:
    """Show the dataset and report the dead; returns its totals."""
    store = Store(run.order.out)
    dataset = stated_dataset(store)
    show_dataset(run.corpus, store, dataset)
    inputs, samples = dataset.inputs.counts, dataset.samples.model_dump()
    dead = max(
        dataset.inputs.dead / max(1, dataset.inputs.listed),
        dataset.samples.dead / max(1, dataset.samples.planned),
    )
    if dead > max_dead_share:
        get_run_logger().warning(
            "%.1f %% are dead, more than %.1f %%; `obbligato dead ls %s`",
            100 * dead,
            100 * max_dead_share,
            store.url,
        )
        emit_event(
            DEAD_EVENT,
            resource={
                "prefect.resource.id": f"obbligato.corpus.{run.corpus}",
                "prefect.resource.name": run.corpus,
            },
            payload={
                "out": store.url,
                "share": round(dead, 4),
                "limit": max_dead_share,
                "inputs": inputs,
                "samples": samples,
            },
        )
    return {"inputs": inputs, "samples": samples, "out": store.url}
