"""The embedder that a recipe names: what it is, and a child that can hold it."""

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Final

from pipelines.embedders import Description
from pipelines.embedders.child import describe
from pipelines.engine import bucket
from pipelines.engine.child_process import Child, Death
from pipelines.errors import PipelineError
from pipelines.plug_ins import stated
from schemas.label_recipe import LabelRecipe
from schemas.recipe import LimitsRecipe, Recipe

TEXTS_VERSION: Final = 1  # raised when our code embeds texts otherwise
_BATCHES: Final = 4  # per call of the child: files are read ahead within a call


def per_call(recipe: LabelRecipe) -> int:
    """Clips or texts that a child is given at once."""
    return _BATCHES * recipe.batch


def embedder_child(recipe: LabelRecipe, limits: LimitsRecipe) -> AbstractContextManager[Child]:
    """A child that can hold the recipe's embedder, in the environment that it needs.

    Limits are of a call with many clips.
    """
    return bucket.model_child(limits, recipe.device, per_call(recipe), recipe.python)


def description(recipe: Recipe) -> Description:
    """What the recipe's embedder is; asked once per process.

    Raises `PipelineError` where it is not there.
    """
    return _described(
        recipe.label.model_copy(update={"vocabularies": (), "exclude": ()}), recipe.limits
    )


@lru_cache(maxsize=4)
def _described(label: LabelRecipe, limits: LimitsRecipe) -> Description:
    with embedder_child(label, limits) as child:
        [found] = child.run(describe, [label], None)
    if isinstance(found, Death):
        raise PipelineError(f"embedder {label.embedder} cannot be had: {found.message}")
    return found


def embedder_tools(recipe: Recipe) -> dict[str, str]:
    """The embedder's weights."""
    found = description(recipe)
    return {found.name: stated(found.version, found.package)}
