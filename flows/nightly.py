"""The flow for schedules: look at the sources, build only what is new, publish a version, say what changed."""

from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.artifacts import show_changes
from flows.build import EngineSettings, finished_run, started_run, take
from flows.steps import STEPS, absolute, begin, check
from pipelines.errors import PipelineError
from pipelines.store import Store
from pipelines.versions import Version, last_version, listing_sha256, read_version, recipe_sha256, what_changed
from schemas.recipe import Recipe


@flow(name="nightly", flow_run_name="nightly {out}", retries=0)
def nightly(
    sources: list[str], out: str, recipe: Recipe = Recipe(), engine: EngineSettings = EngineSettings(), max_dead_share: float = 0.05
) -> dict[str, Any] | State[Any]:
    """Bring a dataset up to date with its sources. Where neither they nor the recipe have changed, nothing is done.

    Songs that came get shards of their own; shards that nothing touches keep their bytes. Each change is a new version.
    """
    out = absolute(out)
    check(sources, out, recipe, engine.engine)
    store = Store(out)
    before = last_version(store)
    with started_run(out, recipe, engine) as run:
        begin(sources, out, recipe)
        take(run, "list")
        if before is not None and _same(before, store, recipe):
            get_run_logger().info("nothing new in %s; version %d stands", ", ".join(sources), before.number)
            return Completed(name="Nothing new", message=f"version {before.number} stands")
        for step in STEPS[1:]:
            take(run, step)
        totals = finished_run(run, max_dead_share)
    version = last_version(store)
    if version is None:
        raise PipelineError(f"{out} was built, but no version stands in it; this is a defect, please report it")
    show_changes(recipe.corpus.name, what_changed(version, read_version(store, version.parent)))
    return {**totals, "version": version.number, "parent": version.parent}


def _same(before: Version, store: Store, recipe: Recipe) -> bool:
    return before.listing_sha256 == listing_sha256(store) and before.recipe_sha256 == recipe_sha256(recipe)
