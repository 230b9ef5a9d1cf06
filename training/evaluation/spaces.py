"""Clips and prompts in a joint space of music and text, by any embedder that labelling can use.

Shapes: N clips, D dimensions.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from pipelines.embedders import Description, Vectors
from pipelines.embedders.child import EmbeddedClip, SourceExcerpt, embed_excerpts, embed_texts
from pipelines.embedders.recipe_embedder import description, embedder_child, per_call
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.errors import PipelineError
from schemas.label_recipe import LabelRecipe
from schemas.labels import Labels
from schemas.recipe import Recipe

T = TypeVar("T")
R = TypeVar("R", bound=EmbeddedClip | Vectors)


class Sounding(NamedTuple):
    """A local file of a known length, with its labels where an embedder may want them."""

    path: str
    duration_s: float
    labels: Labels | None


def sound_vectors(sounds: Sequence[Sounding], recipe: Recipe) -> list[Vectors | None]:
    """A unit vector per file; none for what cannot be embedded."""
    excerpts = [SourceExcerpt(sound.path, 0.0, sound.duration_s, sound.labels) for sound in sounds]
    return _in_child(embed_excerpts, excerpts, recipe)


def text_vectors(texts: Sequence[str], recipe: Recipe) -> list[Vectors | None]:
    """A unit vector per text; none for one that cannot be embedded."""
    return _in_child(embed_texts, texts, recipe)


def embedder_of(recipe: Recipe) -> Description:
    """What the recipe's embedder is. Raises `PipelineError` where it is not there."""
    return description(recipe)


def _in_child(
    function: Callable[[Sequence[T], LabelRecipe], Sequence[R | Death]],
    items: Sequence[T],
    recipe: Recipe,
) -> list[Vectors | None]:
    found: list[Vectors | None] = []
    with embedder_child(recipe.label, recipe.limits) as child:
        for batch in bucket.batches(items, per_call(recipe.label)):
            for made in child.run(function, batch, recipe.label):
                vector = _vector(made)
                if vector is not None and not np.isfinite(vector).all():
                    raise PipelineError(
                        f"embedder {recipe.label.embedder} gave a vector "
                        "that is not finite: another device, or other weights"
                    )
                found.append(vector)
    return found


def _vector(made: EmbeddedClip | Vectors | Death) -> Vectors | None:
    if isinstance(made, Death):
        return None
    return made.vector if isinstance(made, EmbeddedClip) else made
