"""What an upsampler is shaped like: its rates, its network, and what lies beside its weights."""

from math import prod
from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Record
from training.objectives import ObjectiveConfig
from training.samplers.config import OF_DIFFUSION, Sampler

Width = Annotated[int, Field(ge=1, le=4096)]
Stride = Annotated[int, Field(ge=2, le=64)]


class UpsamplerShape(Record):
    """The shape of the network, a UNet over samples.

    >>> UpsamplerShape(strides=(4, 4, 4), widths=(8, 8, 8)).hop
    64
    """

    rate_hz: int = Field(
        24_000, ge=8_000, le=96_000, description="Rate that is played. Noise2Music: 24 kHz."
    )
    lower_hz: int = Field(
        16_000, ge=1_000, le=48_000, description="Rate that is given. Noise2Music: 16 kHz."
    )
    strides: tuple[Stride, ...] = Field(
        (4, 4, 4),
        min_length=1,
        max_length=8,
        description="How many times fewer frames each level has than the one before.",
    )
    widths: tuple[Width, ...] = Field((32, 64, 128), description="Channels after each stride.")
    units: int = Field(2, ge=1, le=16, description="Residual units of a level on each way.")
    conditioning_width: int = Field(
        128, ge=8, le=4096, multiple_of=4, description="Width of the conditioning on noise."
    )
    given_level: float = Field(
        0.12,
        gt=0,
        le=1,
        description="Root mean square of music, which the network is shown as 1.",
    )
    treble_level: float = Field(
        0.0015,
        gt=0,
        le=1,
        description=(
            "Mean distance from silence of the highest octave of what is given, which the network "
            "is shown as 1. Composed pieces: 0.0016 below 8 kHz, 0.017 below 1.6 kHz."
        ),
    )
    added_level: float = Field(
        0.001,
        gt=0,
        le=1,
        description=(
            "That of what lies above the lower rate, likewise. Composed pieces: 0.0012 from 8 to "
            "12 kHz, 0.007 from 1.6 to 8 kHz."
        ),
    )
    companding: float = Field(
        0.5,
        gt=0,
        le=1,
        description=(
            "Power that these two are raised to: less than 1 brings rests and strokes nearer "
            "together, 1 leaves them as they are. SGMSE+: 0.5, of spectra."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lower_hz >= self.rate_hz:
            raise SchemaError(
                f"net.lower_hz {self.lower_hz} is to be brought up to net.rate_hz {self.rate_hz}: "
                "it must be lower"
            )
        if len(self.widths) != len(self.strides):
            raise SchemaError(
                f"net.widths has {len(self.widths)} widths for {len(self.strides)} strides: give "
                "one for each"
            )
        return self

    @property
    def hop(self) -> int:
        """Samples of the deepest level's frame."""
        return prod(self.strides)


class UpsamplerPlay(Record):
    """How it is played."""

    sampler: Sampler = Field(
        Sampler.HEUN, description="heun, euler, dpm-solver++; of a diffusion also ddim."
    )
    steps: int = Field(4, ge=1, le=1000, description="Steps from noise to what is added.")
    noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "Time of the noise that what is given gets, as in training: more hides more of its "
            "faults."
        ),
    )
    window_s: float = Field(4.0, gt=0, description="Seconds that are played at once.")
    overlap_s: float = Field(0.25, gt=0, description="Seconds over which one fades into the next.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sampler in (Sampler.JUMP, Sampler.DDPM):
            raise SchemaError(f"played.sampler={self.sampler} is not of an upsampler")
        if 2 * self.overlap_s > self.window_s:
            raise SchemaError(
                f"played.overlap_s {self.overlap_s:g} is over half of played.window_s "
                f"{self.window_s:g}: windows would fade into two at once"
            )
        return self


class UpsamplerConfig(Record):
    """What lies beside an upsampler's weights."""

    net: UpsamplerShape
    objective: ObjectiveConfig
    played: UpsamplerPlay

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.objective.kind == "flow" and self.played.sampler in OF_DIFFUSION:
            raise SchemaError(
                f"played.sampler={self.played.sampler} is for a diffusion, and objective.kind is "
                "flow: take heun, euler or dpm-solver++"
            )
        return self
