"""The flow that gives a corpus its pseudo-labels, or others.

Shards get new texts around the same audio.
"""

from typing import Any

from prefect import flow

from flows.build.run_step import absolute, stored_build, trust_recipe
from flows.deployments.artifacts import show_labels
from flows.deployments.backfill import brought_up_to_date
from flows.deployments.build_corpus import EngineSettings, Share
from flows.errors import UsageError
from pipelines.storage.store import Store
from schemas.label_recipe import LabelRecipe
from schemas.recipe import Recipe


@flow(name="label", flow_run_name="label {out}", retries=0)
def label_corpus(
    out: str,
    label: LabelRecipe,
    engine: EngineSettings = EngineSettings(),
    max_dead_share: Share = 0.05,
) -> dict[str, Any]:
    """Embed the clips, match them to the vocabularies, draw labels, and write the shards anew from
    the audio that stands in them.

    New inputs are not looked for. Statistics of the labels are an artifact of the run.
    """
    if not label.vocabularies:
        raise UsageError("label.vocabularies is empty: name at least one file of texts")
    out = absolute(out)
    trust_recipe(out, Recipe(label=label))
    _, recipe = stored_build(out)
    totals = brought_up_to_date(out, recipe.replaced(label=label), engine, max_dead_share)
    show_labels(recipe.corpus.name, Store(out))
    return totals
