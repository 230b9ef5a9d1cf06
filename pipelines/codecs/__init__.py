"""Codecs: from waves to the latents that a model learns, and back.

One library per file; the encode stage and the sampler share them.

A codec is one of this folder, or a plug-in (pipelines/plug_ins.py): a module with
``open_codec(source, device)``, which returns a `Codec`. `mel.py` needs no weights and is the place
to start reading.

Shapes: B clips, S samples, C latent channels, T latent frames, F latent bands. Waves are (B, S); of
a codec whose facts say two `wave_channels`, (B, 2, S), left first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pipelines.extras import naming_extras
from pipelines.plug_ins import Door
from schemas.codec import CodecFacts

if TYPE_CHECKING:
    import torch

__all__ = ("CODECS", "Codec", "CodecFacts", "CodecModule", "open_codec")


class Codec(Protocol):
    """Waves to latents and back, on the device of what it is given or was opened on.

    The same batch gives the same output; a clip in another batch gives its own but for rounding.
    """

    @property
    def facts(self) -> CodecFacts:
        """Rate, shape, licence, and the level that `encode` brings waves to."""

    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, F) of about unit scale, of waves within [-1, 1]; silence fills the last
        frame.
        """

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Waves of T × `samples_per_frame` samples within [-1, 1].

        Where it is torch all through, gradients pass; who wants none asks under `torch.no_grad`.
        """


class CodecModule(Protocol):
    """What a codec's module offers."""

    def open_codec(self, source: str = "", device: str = "cpu") -> Codec:
        """The codec with the weights at `source`, its own default where that is empty.

        Raises `PipelineError` where they cannot be read.
        """
        ...


CODECS: Final = Door[CodecModule](
    kind="codec",
    group="obbligato.codecs",
    built_in={
        name: f"{__name__}.{name}"
        for name in ("audioldm", "dac", "encodec", "mel", "oobleck", "same", "vae", "wave")
    },
    needs=("open_codec",),
    extra="train",
)


def open_codec(name: str, source: str = "", device: str = "cpu") -> Codec:
    """The codec of a name.

    `source` is where its weights are, if it has any: an id on the Hugging Face hub, or a folder.

    Raises `PipelineError` where no such codec is there or its weights cannot be read, and
    `MissingExtra` where it needs a package that is not installed.

    >>> open_codec("mel").facts.channels
    64
    """
    with naming_extras("train"):
        return CODECS.offer(name).open_codec(source, device)
