"""Codecs: from waves to the latents that a model learns, and back. One library per file; the encode
stage and the sampler share them.

A codec is a module of this folder, or any importable module by its dotted name, with
``open_codec(source, device)``, which returns a `Codec`. `mel.py` needs no weights and is the place
to start reading.

Shapes: B clips, S samples, C latent channels, T latent frames, F latent bands.
"""

import importlib
from typing import Protocol, cast

import torch

from pipelines.errors import PipelineError
from pipelines.extras import naming_extras
from schemas.codec import CodecFacts

__all__ = ("Codec", "CodecFacts", "open_codec")


class Codec(Protocol):
    """Waves to latents and back, on the device of what it is given or was opened on.

    The same batch gives the same output; a clip in another batch gives its own but for rounding.
    """

    @property
    def facts(self) -> CodecFacts:
        """Rate, shape, licence."""

    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, F) of about unit scale, of mono waves within [-1, 1]; silence fills the
        last frame.
        """

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Mono waves (B, T × `samples_per_frame`) within [-1, 1]."""


def open_codec(name: str, source: str = "", device: str = "cpu") -> Codec:
    """The codec of a name. `source` is where its weights are, if it has any: an id on the Hugging
    Face hub, or a folder.

    Raises `PipelineError` where no such codec is there or its weights cannot be read, and
    `MissingExtra` where it needs a package that is not installed.

    >>> open_codec("mel").facts.channels
    64
    """
    module = name if "." in name else f"{__name__}.{name}"
    try:
        with naming_extras("train"):
            make = importlib.import_module(module).open_codec
    except (ImportError, AttributeError) as error:
        raise PipelineError(
            f"no codec called {name!r} ({error}); see pipelines/codecs for the ones there are"
        ) from error
    with naming_extras("train"):
        return cast(Codec, make(source, device))
