"""Models that place music and texts in one space. One library per file.

An embedder is a module, or anything that offers its two functions: `describe(recipe)`, which opens
no weights, and `load(recipe)`. Besides `clap` and `bridge`, those are found that installed packages
offer as entry points of the group ``obbligato.embedders``.
"""

import importlib
import importlib.metadata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.errors import PipelineError
from schemas.label_recipe import LabelRecipe
from schemas.labels import Labels

GROUP: Final = "obbligato.embedders"
BUILT_IN: Final = {"bridge": "pipelines.embedders.bridge", "clap": "pipelines.embedders.clap"}
Vectors = npt.NDArray[np.float32]  # (rows, dimension), each row of length 1


class Description(NamedTuple):
    """What an embedder is: `version` is a checksum of its weights; audio is wanted mono at
    `rate_hz` and heard `window_s` at a time.
    """

    name: str
    version: str
    licence: str
    dimension: int
    rate_hz: int
    window_s: float
    reads_labels: bool = False  # whether it needs the labels of the clip beside its sound


class Sound(NamedTuple):
    """A clip to embed: mono float32 within [-1, 1] at the embedder's rate; its labels where the
    embedder reads them.
    """

    wave: npt.NDArray[np.float32]
    labels: Labels | None = None


class Embedder(Protocol):
    """A joint space of music and text."""

    def embed_audio(self, sounds: Sequence[Sound]) -> Vectors:
        """One unit vector per clip: the mean over its windows."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text."""
        ...


class Offers(Protocol):
    """What an embedder's module offers."""

    def describe(self, recipe: LabelRecipe) -> Description:
        """What `load` would give, without loading it.

        Raises `PipelineError` where the model is not there.
        """
        ...

    def load(self, recipe: LabelRecipe) -> Embedder:
        """The embedder, ready."""
        ...


@lru_cache(maxsize=4)
def offered(name: str) -> Offers:
    """The module of an embedder by its name in the recipe.

    Raises `PipelineError` where nothing of that name is installed.
    """
    if name in BUILT_IN:
        module: Offers = importlib.import_module(BUILT_IN[name])
        return module
    found = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join(sorted({*BUILT_IN, *found}))
        raise PipelineError(
            f"label.embedder {name} is unknown here: "
            f"expected {known}, or install a package that offers it"
        )
    plug_in: Offers = found[name].load()
    return plug_in


@lru_cache(maxsize=1)
def loaded(recipe: LabelRecipe) -> Embedder:
    """The recipe's embedder; the last one stays in memory."""
    return offered(recipe.embedder).load(recipe)


def unit(vectors: npt.NDArray[np.float32]) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
