"""What an autoencoder of waves is shaped like: its rates, widths and bottleneck."""

from enum import StrEnum
from math import prod
from typing import Annotated, Final, Literal, Self

from pydantic import Field, Tag, model_validator

from schemas.errors import SchemaError
from schemas.kinds import kind_or
from schemas.record import Confidence, Record

_WIDEST: Final = 8192
Width = Annotated[int, Field(ge=1, le=_WIDEST)]
Stride = Annotated[int, Field(ge=2, le=64)]


class BottleneckKind(StrEnum):
    """What stands between encoder and decoder."""

    KL = "kl"  # numbers, of which each is drawn from a normal distribution while learning
    RVQ = "rvq"  # the sum of an entry of each codebook


class KlBottleneck(Record):
    """Latents near a standard normal distribution, as latent diffusion learns them."""

    kind: Literal["kl"] = Field("kl", description="kl, or rvq.")
    weight: float = Field(
        1e-3,
        ge=0,
        description=(
            "Of the divergence from it, in nats per number, in the loss. "
            "Stable Audio: 1e-4 of the sum over channels."
        ),
    )


class RvqBottleneck(Record):
    """Residual codebooks: each rounds what the ones before it have left."""

    kind: Literal["rvq"] = Field("rvq", description="rvq, or kl.")
    books: int = Field(9, ge=1, le=64, description="Codebooks. DAC at 44.1 kHz: 9.")
    entries: int = Field(1024, ge=2, le=65_536, description="Entries of each. DAC: 1024.")
    code_width: int = Field(
        8, ge=1, le=1024, description="Dimensions that entries are looked up in. DAC: 8."
    )
    commitment: float = Field(
        0.25, ge=0, description="Weight of the encoder's distance from entries. DAC: 0.25."
    )
    dropout: Confidence = Field(
        0.5,
        description=(
            "Share of visits that go through the first codebooks alone, as many as are drawn, so "
            "that fewer play too. DAC: 0.5."
        ),
    )


Bottleneck = Annotated[
    Annotated[KlBottleneck, Tag("kl")] | Annotated[RvqBottleneck, Tag("rvq")], kind_or("kl")
]


class WaveShape(Record):
    """The shape of the network.

    >>> WaveShape(strides=(8, 8, 4), encoder_widths=(8,) * 4, decoder_widths=(8,) * 4).frames_per_s
    62.5
    """

    rate_hz: int = Field(16_000, ge=8_000, le=96_000, description="Rate of the waves.")
    wave_channels: int = Field(1, ge=1, le=2, description="1 mono, 2 stereo.")
    strides: tuple[Stride, ...] = Field(
        min_length=1,
        max_length=8,
        description="How many times fewer frames each level has than the one before.",
    )
    encoder_widths: tuple[Width, ...] = Field(
        description="Channels at the wave's rate, and after each stride."
    )
    decoder_widths: tuple[Width, ...] = Field(
        description="The same on the way back: of the finest rate first."
    )
    latent_channels: int = Field(64, ge=1, le=4096, description="Channels of the latent.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, widths in (
            ("encoder_widths", self.encoder_widths),
            ("decoder_widths", self.decoder_widths),
        ):
            if len(widths) != len(self.strides) + 1:
                raise SchemaError(
                    f"{name} has {len(widths)} widths for {len(self.strides)} strides: "
                    f"give {len(self.strides) + 1}, of the wave's own rate first"
                )
        return self

    @property
    def hop(self) -> int:
        """Samples of a latent frame."""
        return prod(self.strides)

    @property
    def frames_per_s(self) -> float:
        """Latent frames a second."""
        return self.rate_hz / self.hop


class WaveConfig(Record):
    """What lies beside a codec's weights."""

    net: WaveShape
    bottleneck: Bottleneck
