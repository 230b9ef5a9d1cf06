"""Shapes of the transformer: one frozen record, three presets."""

from typing import Final, Literal, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from training.conditions import CONTROLS, SecondsAs
from training.conditions.net_shape import WIDEST, FrameNetShape


class DitConfig(FrameNetShape):
    """The shape of a transformer whose tokens are latent frames.

    Frame rows are joined to the frames at the input.
    """

    kind: Literal["dit"] = Field("dit", description="dit, or munet.")
    patch: int = Field(1, ge=1, le=64, description="Latent frames of a token.")
    width: int = Field(ge=2, le=WIDEST, description="Channels of a token in the net.")
    depth: int = Field(ge=1, le=256, description="Blocks.")
    head_width: int = Field(
        64, ge=2, le=WIDEST, multiple_of=2, description="Channels of an attention head. SD3: 64."
    )
    frame_rate_hz: float | None = Field(
        None,
        gt=0,
        description=(
            "Latent frames a second. Where given, a frame looks at tokens of beats and chords by "
            "how far from it they are. Frames look at each other so in any case."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.head_width:
            raise SchemaError(
                f"width {self.width} is not a multiple of head_width {self.head_width}"
            )
        return self


# For minutes on a CPU: the preset `tiny`.
TINY_DIT: Final = DitConfig(
    latent_channels=64,
    latent_bands=8,
    width=192,
    depth=6,
    head_width=32,
    text_width=384,
    control_width=128,
    controls=(),
    rows=CONTROLS,
    frame_rate_hz=8.0,
)
# For latents of the codec of waves `stereo`, a window of 95 s being 2048 of its frames.
STABLE_DIT: Final = DitConfig(
    latent_channels=64,
    latent_bands=1,
    width=768,
    depth=16,
    control_width=256,
    controls=(),
    rows=CONTROLS,
    frame_rate_hz=44_100 / 2048,
    seconds=True,
    seconds_as=SecondsAs.TOKENS,
)
# For one GPU, as the MuNet `small`.
SMALL_DIT: Final = DitConfig(
    latent_channels=8,
    latent_bands=16,
    width=384,
    depth=12,
    control_width=256,
    controls=(),
    rows=CONTROLS,
    frame_rate_hz=25.0,
)
