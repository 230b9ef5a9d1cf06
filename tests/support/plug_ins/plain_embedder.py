"""An embedder for tests of everything but embeddings: the mean level of 32 bands for sound, words
by their hash for texts.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.embedders import ClipSound, Description, Vectors, unit
from schemas.identity import stable_hash
from schemas.label_recipe import LabelRecipe

DIMENSION = 32


def describe(recipe: LabelRecipe) -> Description:
    return Description("plain", recipe.model, "CC0-1.0", DIMENSION, 16_000, 10.0)


def load(recipe: LabelRecipe) -> "Plain":
    return Plain()


class Plain:
    def embed_audio(self, sounds: Sequence[ClipSound]) -> Vectors:
        return unit(np.stack([_bands(sound.wave) for sound in sounds]))

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        if any("deadly" in text for text in texts):
            raise ValueError("a deadly text")
        seeds = ([stable_hash(word) for word in text.casefold().split()] for text in texts)
        return unit(
            np.stack(
                [
                    np.sum(
                        [np.random.default_rng(seed).standard_normal(DIMENSION) for seed in words],
                        axis=0,
                    )
                    for words in seeds
                ]
            )
        )


def _bands(wave: np.ndarray) -> np.ndarray:
    """Levels of bands from 100 Hz to 6 kHz over the whole, their mean taken away."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    edges = np.geomspace(100, 6000, DIMENSION + 1) * len(wave) / 16_000
    level: np.ndarray = np.log(np.add.reduceat(power, edges.astype(int))[:DIMENSION] + 1e-9)
    level -= level.mean()
    return level
