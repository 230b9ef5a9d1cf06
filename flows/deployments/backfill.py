"""The flow that does stages of a whole corpus again, in slices side by side.

After a new recipe, a new annotator, a fixed defect.
"""

from typing import Any, Final

from prefect import flow

from flows.build.order import LISTED, RENAMED, STEPS
from flows.build.run_step import (
    absolute,
    begin,
    check_models,
    check_recipe,
    stored_build,
    trust_recipe,
)
from flows.deployments.build_corpus import (
    EngineSettings,
    Share,
    finished_run,
    started_run,
    take_steps,
)
from flows.errors import UsageError
from pipelines.beam.options import check_engine
from schemas.recipe import Recipe

_STEPS: Final = tuple(STEPS)
_LISTED: Final = ("licence", "uri_template", "column_map", "protocols", "check_remote")


@flow(name="backfill", flow_run_name="backfill {out}", retries=0)
def backfill(
    out: str,
    recipe: Recipe | None = None,
    engine: EngineSettings = EngineSettings(slices=8),
    until: str = _STEPS[-1],
    max_dead_share: Share = 0.05,
) -> dict[str, Any]:
    """Bring a build up to date with a recipe (its own, or a new one), without new inputs.

    Each stage is split into `engine.slices` shares of its buckets, of which `engine.side_by_side`
    run at a time, or as many as the Dask cluster has room for. Buckets that nothing touches are
    left alone. `until` ends it after that step.
    """
    until = RENAMED.get(until, until)
    if until not in _STEPS[1:]:
        raise UsageError(f"{until} is not a step of a backfill: expected {', '.join(_STEPS[1:])}")
    out = absolute(out)
    if recipe is not None:
        trust_recipe(out, recipe)
    return brought_up_to_date(out, recipe, engine, max_dead_share, until)


def brought_up_to_date(
    out: str,
    recipe: Recipe | None,
    engine: EngineSettings,
    max_dead_share: float,
    until: str = _STEPS[-1],
) -> dict[str, Any]:
    """Take the steps of a build after its listing, as a part of the flow run that calls."""
    check_engine(engine.engine, out)
    sources, stored = stored_build(out)
    chosen = recipe or stored
    check_recipe(out, chosen)
    check_models(chosen)
    for knob in _LISTED:
        if getattr(chosen.ingest, knob) != getattr(stored.ingest, knob):
            raise UsageError(
                f"ingest.{knob} decides what is listed, and a backfill does not list: build with it"
            )
    with started_run(out, chosen, engine) as run:
        begin(sources, out, chosen)
        take_steps(run, after=LISTED, until=until)
        return (
            finished_run(run, max_dead_share)
            if until == _STEPS[-1]
            else {"out": out, "steps": len(run.reports)}
        )
