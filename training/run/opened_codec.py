"""The codec that a recipe names, opened, with the vocoder that plays its levels if there is one."""

from typing import NamedTuple

from pipelines.codecs import Codec, open_codec
from pipelines.codecs.vocoder import open_vocoder, with_vocoder
from training.run.recipe import CodecRecipe


class OpenedCodec(NamedTuple):
    """A codec, and what its vocoder is called; empty: it plays its latents itself."""

    codec: Codec
    vocoder: str


def opened_codec(recipe: CodecRecipe, device: str, vocoder: str = "") -> OpenedCodec:
    """Open it; the folder of a vocoder stands in for the recipe's own.

    Raises `PipelineError` where codec or vocoder cannot be read, or do not go together.
    """
    codec = open_codec(recipe.name, recipe.source, device)
    folder = vocoder or recipe.vocoder
    if not folder:
        return OpenedCodec(codec, "")
    opened = open_vocoder(folder, device)
    return OpenedCodec(with_vocoder(codec, opened), opened.name)
