"""What a vocoder is shaped like, and which spectrogram it plays."""

from typing import Self

from pydantic import Field, model_validator

from schemas.codec import SpectrogramFacts
from schemas.errors import SchemaError
from schemas.record import Record


class VocoderShape(Record):
    """The shape of the network."""

    frames: int = Field(
        4, ge=1, le=64, description="Short frames to one of the spectrogram: of 500 samples, 125."
    )
    window: int = Field(
        500, ge=16, le=8192, multiple_of=2, description="Samples of a short frame's spectrum."
    )
    width: int = Field(192, ge=1, le=4096, description="Channels of the blocks. Vocos: 512.")
    widening: int = Field(3, ge=1, le=8, description="Times as many within a block. Vocos: 3.")
    depth: int = Field(6, ge=1, le=64, description="Blocks. Vocos: 8.")
    updates: int = Field(
        10, ge=0, le=100, description="Updates of the spectrum that the first guess has."
    )
    rounds: int = Field(
        2, ge=0, le=100, description="Rounds of Griffin-Lim that the first guess has."
    )


class VocoderConfig(Record):
    """What lies beside a vocoder's weights."""

    spectrogram: SpectrogramFacts
    net: VocoderShape

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.spectrogram.hop % self.net.frames:
            raise SchemaError(
                f"net.frames {self.net.frames} short frames do not divide the spectrogram's step "
                f"of {self.spectrogram.hop} samples"
            )
        apart = self.spectrogram.hop // self.net.frames
        if 2 * apart > self.net.window:  # a Hann window is nearly 0 at its ends
            raise SchemaError(
                f"net.frames {self.net.frames}: short frames are {apart} samples apart, and their "
                f"windows of net.window {self.net.window} must overlap by half at least: take more "
                "frames, or a longer window"
            )
        return self
