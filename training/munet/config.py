"""Shapes of MuNet: one frozen record, three presets."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from training.conditions import CONTROLS
from training.conditions.net_shape import WIDEST, NetShape
from training.errors import TrainingError


class Preset(StrEnum):
    """Named shapes."""

    TINY = "tiny"
    SMALL = "small"
    BASE = "base"


class RowBranch(StrEnum):
    """How frame rows reach a net."""

    ADDED = "added"  # in each residual block
    COPY = "copy"  # through a copy of the way down, added to what that leaves (Music ControlNet)


class MuNetConfig(NetShape):
    """The shape of a MuNet. Levels are counted from the finest; each halves time and bands.

    Its default widths of tokens, heads and groups are the published ones.
    """

    kind: Literal["munet"] = Field("munet", description="munet, or dit.")
    widths: tuple[Annotated[int, Field(ge=1, le=WIDEST)], ...] = Field(
        min_length=1, max_length=16, description="Channels at each level."
    )
    attended: tuple[bool, ...] = Field(
        description=(
            "Levels with an attention site after each residual block. The middle always has one."
        ),
    )
    layers: int = Field(
        2,
        ge=1,
        le=64,
        description="Residual blocks of a level on the way down; one more on the way up. TANGO: 2.",
    )
    head_width: int = Field(
        64,
        ge=2,
        le=WIDEST,
        multiple_of=2,
        description="Channels of an attention head. TANGO: 64 (5, 10, 20 heads of 320, 640, 1280).",
    )
    norm_groups: int = Field(32, ge=1, le=WIDEST, description="Groups of a group norm. TANGO: 32.")
    row_branch: RowBranch = Field(
        RowBranch.ADDED,
        description=(
            "How frame rows reach the net: added in every residual block, or through a copy of the "
            "way down, as Music ControlNet has it: more to learn, beside a net that stays."
        ),
    )
    frame_rate_hz: float | None = Field(
        None,
        gt=0,
        description=(
            "Latent frames a second. Where given, a frame looks at beats "
            "and chords by how far from it they are (rotary attention, "
            "of keys and values), at no cost in parameters. None, as published: "
            "it has to find out when it is from the padding of the convolutions."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.attended) != len(self.widths):
            raise SchemaError(
                f"{len(self.widths)} widths but {len(self.attended)} levels in attended"
            )
        for width in self.widths:
            if width % self.norm_groups or width % self.head_width:
                raise SchemaError(
                    f"width {width} is not a multiple of norm_groups "
                    f"{self.norm_groups} and head_width {self.head_width}"
                )
        return self

    @property
    def adds_rows(self) -> bool:
        """Whether residual blocks take frame rows."""
        return bool(self.rows) and self.row_branch is RowBranch.ADDED


PRESETS: Final = {
    # For minutes on a CPU, as the preset `tiny-munet`: 3.3 M parameters. Takes `mel` latents
    # (64 × 80 × 8 for 10 s) and MiniLM's states. Sites where a frame is 250 ms, which costs little
    # and still tells beats apart; finer moments stand in the channels.
    Preset.TINY: MuNetConfig(
        latent_channels=64,
        widths=(80, 80, 80),
        attended=(False, True, False),
        layers=1,
        head_width=16,
        norm_groups=16,
        text_width=384,
        control_width=128,
        controls=(),
        rows=CONTROLS,
        frame_rate_hz=8.0,
    ),
    # For one GPU: 41.4 M parameters. Takes latents of AudioLDM's autoencoder (8 × 256 × 16 for
    # 10.24 s) and FLAN-T5-large's states, as `base` does, but spends its time otherwise: on one
    # transformer a site, with frame rows for the others, from the second level on, since attention
    # over the 4096 places of the first took more than all else, and in heads that GPUs are fast at.
    Preset.SMALL: MuNetConfig(
        latent_channels=8,
        widths=(128, 128, 256, 256),
        attended=(False, True, True, False),
        head_width=64,
        control_width=256,
        controls=(),
        rows=CONTROLS,
        frame_rate_hz=25.0,
    ),
    # As published: TANGO's UNet (arXiv 2304.13731, that of Stable Diffusion 2.1 with 8 channels in
    # and out: 865.9 M parameters), and at each of its 16 sites a second and a third transformer (2
    # × 273.6 M) for beats and chords: 1413 M, "1.4 B" in Mustango's tables.
    Preset.BASE: MuNetConfig(
        latent_channels=8,
        widths=(320, 640, 1280, 1280),
        attended=(True, True, True, False),
    ),
}


def preset(name: Preset | str) -> MuNetConfig:
    """A preset by its name. Raises `TrainingError` for any other name.

    >>> preset("base").blind().controls
    ()
    """
    try:
        return PRESETS[Preset(name)]
    except ValueError as error:
        raise TrainingError(f"no preset called {name!r}: expected {', '.join(Preset)}") from error
