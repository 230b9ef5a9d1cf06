"""Codecs with codebooks: what they round latents to, as numbers of entries.

Codes are what a language model or a masked model of sound learns; `encode --codes` puts them into
shards beside the latents.

Shapes: B clips, S samples, C latent channels, T latent frames, F latent bands, L codebooks.
"""

from typing import Protocol, cast

import torch

from pipelines.codecs import Codec
from pipelines.errors import PipelineError
from schemas.codec import CodecFacts, CodeFacts


class TokenCodec(Codec, Protocol):
    """A codec that has codebooks, and says what it rounds to them."""

    @property
    def books(self) -> int:
        """Codebooks, of which the first is the coarsest; 0 where there are none."""

    @property
    def entries(self) -> int:
        """Entries of each codebook."""

    def codes(self, waves: torch.Tensor) -> torch.Tensor:
        """Numbers of codebook entries, (B, L, T), of waves as `encode` takes them: those that their
        latents are rounded to.
        """

    def codes_of(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """The codes that `decode` rounds latents to: (B, L, T)."""

    def decode_codes(self, codes_BLT: torch.Tensor) -> torch.Tensor:
        """What `decode` plays of latents that have these codes."""


def with_codes(codec: Codec) -> TokenCodec:
    """The same codec, known to have codebooks.

    Raises `PipelineError` where it has none.
    """
    if getattr(codec, "books", 0):
        return cast(TokenCodec, codec)
    raise PipelineError(
        f"the codec {codec.facts.name} has no codebooks, so there are no codes of it: take "
        "encodec, dac, or a wave codec that was trained with --set bottleneck.kind=rvq"
    )


def code_facts(codec: TokenCodec) -> CodeFacts:
    """What its codes are."""
    facts: CodecFacts = codec.facts
    return CodeFacts(
        codec=facts.name,
        version=facts.version,
        licence=facts.licence,
        books=codec.books,
        entries=codec.entries,
        frames_per_s=facts.frames_per_s,
    )
