"""The embedder without weights of its own: what was measured on a clip, put into words, compared
with texts by MiniLM.

Text meets text. It knows what the annotators and a few descriptors know, and names nothing that it
does not: which instrument plays, which genre it is. An honest default for trying things out, and
for a machine without a network; CLAP hears more.
"""

from collections.abc import Sequence

from pipelines.audio.spectra import EAR_HZ
from pipelines.embedders import ClipSound, Description, Vectors, minilm
from pipelines.embedders.bridge_words import described
from pipelines.errors import PipelineError
from schemas.label_recipe import LabelRecipe

_VERSION = "1"  # raised when the words change


def describe(_: LabelRecipe) -> Description:
    """MiniLM's space, and our words."""
    return Description(
        name=f"bridge {minilm.NAME}",
        version=f"{_VERSION}+{minilm.checksum()}",
        licence=minilm.LICENCE,
        dimension=minilm.DIMENSION,
        rate_hz=EAR_HZ,
        window_s=10.0,
        reads_labels=True,
    )


def load(_: LabelRecipe) -> "Bridge":
    """MiniLM loads with the first text."""
    return Bridge()


class Bridge:
    """Labels and descriptors as sentences, embedded as any text."""

    def embed_audio(self, sounds: Sequence[ClipSound]) -> Vectors:
        """The vector of each clip's description.

        Raises `PipelineError` for a clip without labels.
        """
        return minilm.embedded([_words(sound) for sound in sounds])

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """MiniLM's vectors."""
        return minilm.embedded(texts)


def _words(sound: ClipSound) -> str:
    if sound.labels is None:
        raise PipelineError("embedder bridge reads labels; give them beside the sound")
    return described(sound.wave, sound.labels)
