"""The codec that a recipe names: what it is, and how much a child is given at once."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, TypeVar

from pipelines.codecs.child import describe, describe_codes
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.errors import PipelineError
from schemas.codec import CodecFacts, CodeFacts
from schemas.recipe import EncodeRecipe, LimitsRecipe, Recipe

F = TypeVar("F")

_BATCHES: Final = 2  # per call of the child: the second is read while the first is encoded


def per_call(recipe: EncodeRecipe) -> int:
    """Samples that a child is given at once."""
    return _BATCHES * recipe.batch


def codec_facts(recipe: Recipe) -> CodecFacts:
    """What the recipe's codec is; asked once per process.

    Raises `PipelineError` where it is not there.
    """
    return _facts(recipe.encode, recipe.limits)


def recipe_code_facts(recipe: Recipe) -> CodeFacts:
    """What the codes of the recipe's codec are; asked once per process.

    Raises `PipelineError` where it is not there, or has no codebooks.
    """
    return _code_facts(recipe.encode, recipe.limits)


@lru_cache(maxsize=4)
def _facts(encode: EncodeRecipe, limits: LimitsRecipe) -> CodecFacts:
    return _said(describe, encode, limits)


@lru_cache(maxsize=4)
def _code_facts(encode: EncodeRecipe, limits: LimitsRecipe) -> CodeFacts:
    return _said(describe_codes, encode, limits)


def _said(
    say: Callable[[Sequence[EncodeRecipe], None], list[F]],
    encode: EncodeRecipe,
    limits: LimitsRecipe,
) -> F:
    """What a child, which holds the codec, says of it."""
    with bucket.model_child(limits, encode.device, per_call(encode)) as child:
        [found] = child.run(say, [encode], None)
    if isinstance(found, Death):
        raise PipelineError(f"codec {encode.codec} cannot be had: {found.message}")
    return found
