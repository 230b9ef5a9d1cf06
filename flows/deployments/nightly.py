"""The flow for schedules: build what is new at the sources, publish a version, say so."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.build.run_step import absolute, begin, check, trust_recipe
from flows.deployments.artifacts import show_changes
from flows.deployments.build_corpus import (
    EngineSettings,
    Share,
    finished_run,
    started_run,
    take_steps,
)
from pipelines.build.versions import last_version, what_changed
from pipelines.errors import PipelineError
from pipelines.storage.store import Store
from schemas.recipe import Recipe


@flow(name="nightly", flow_run_name="nightly {out}", retries=0)
def nightly(
    sources: list[str],
    out: str,
    recipe: Recipe = Recipe(),
    engine: EngineSettings = EngineSettings(),
    max_dead_share: Share = 0.05,
    shrink: bool = False,
) -> dict[str, Any] | State[Any]:
    """Bring a dataset up to date with its sources.

    Steps find out by themselves what is done; where all is, nothing is new.

    Songs that came get shards of their own; shards that nothing touches keep their bytes. Each
    change is a new version. A night on which many songs would go stops instead, unless set to
    `shrink`.
    """
    out = absolute(out)
    check(sources, out, recipe, engine.engine)
    trust_recipe(out, recipe, sources)
    store = Store(out)
    with started_run(out, recipe, engine, shrink=shrink) as run:
        before = last_version(store)
        begin(sources, out, recipe)
        take_steps(run)
        version = last_version(store)
        if version is None:
            raise PipelineError(
                f"{out} was built, but no version stands in it; this is a defect, please report it"
            )
        if version == before:
            get_run_logger().info(
                "nothing new in %s; version %d stands", ", ".join(sources), version.number
            )
            return Completed(name="Nothing new", message=f"version {version.number} stands")
        totals = finished_run(run, max_dead_share)
        show_changes(recipe.corpus.name, what_changed(version, before))
        return {**totals, "version": version.number, "parent": version.parent}
