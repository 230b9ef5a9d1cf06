"""Models that place music and texts in one space. One library per file.

An embedder is `clap`, `bridge` or a plug-in (pipelines/plug_ins.py): a module with
`describe(recipe)`, which opens no weights, and `load(recipe)`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.plug_ins import Door
from schemas.label_recipe import LabelRecipe
from schemas.labels import Labels

Vectors = npt.NDArray[np.float32]  # (rows, dimension), each row of length 1


class Description(NamedTuple):
    """What an embedder is: `version` is a checksum of its weights; audio is wanted mono at
    `rate_hz` and read `window_s` at a time.
    """

    name: str
    version: str
    licence: str
    dimension: int
    rate_hz: int
    window_s: float
    reads_labels: bool = False  # whether it needs the labels of the clip beside its sound
    package: str = ""  # that it came in, with its version; whoever opens a plug-in fills it in


class ClipSound(NamedTuple):
    """A clip to embed: mono float32 within [-1, 1] at the embedder's rate; its labels where the
    embedder reads them.
    """

    wave: npt.NDArray[np.float32]
    labels: Labels | None = None


class Embedder(Protocol):
    """A joint space of music and text."""

    def embed_audio(self, sounds: Sequence[ClipSound]) -> Vectors:
        """One unit vector per clip: the mean over its windows."""
        ...

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text."""
        ...


class EmbedderModule(Protocol):
    """What an embedder's module offers."""

    def describe(self, recipe: LabelRecipe) -> Description:
        """What `load` would give, without loading it.

        Raises `PipelineError` where the model is not there.
        """
        ...

    def load(self, recipe: LabelRecipe) -> Embedder:
        """The embedder, ready."""
        ...


EMBEDDERS: Final = Door[EmbedderModule](
    kind="embedder",
    group="obbligato.embedders",
    built_in={"bridge": f"{__name__}.bridge", "clap": f"{__name__}.clap"},
    needs=("describe", "load"),
)


def describe(recipe: LabelRecipe) -> Description:
    """What the recipe's embedder is, and the package it came in.

    Raises `PipelineError` where it is not there.
    """
    found = EMBEDDERS.offer(recipe.embedder).describe(recipe)
    return found._replace(package=EMBEDDERS.package(recipe.embedder))


@lru_cache(maxsize=1)
def loaded(recipe: LabelRecipe) -> Embedder:
    """The recipe's embedder; the last one stays in memory."""
    return EMBEDDERS.offer(recipe.embedder).load(recipe)


def unit(vectors: npt.NDArray[np.float32]) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32)).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
