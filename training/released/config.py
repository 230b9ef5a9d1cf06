"""Which released transformer, in its own configuration."""

from enum import StrEnum
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from training.conditions import Condition
from training.conditions.net_shape import WIDEST, NetShape


class Family(StrEnum):
    """Released transformers, by diffusers' class."""

    STABLE_AUDIO = "StableAudioDiTModel"
    ACE_STEP = "AceStepTransformer1DModel"


_CHANNELS: Final = {
    Family.STABLE_AUDIO: "in_channels",
    Family.ACE_STEP: "audio_acoustic_hidden_dim",
}


class ReleasedConfig(NetShape):
    """A transformer that others released. Frame rows are added before each of its blocks."""

    kind: Literal["released"] = Field("released", description="released, munet, or dit.")
    family: Family = Field(description="StableAudioDiTModel or AceStepTransformer1DModel.")
    shape: dict[str, Any] = Field(description="Its own configuration, as diffusers stores it.")
    projection: dict[str, Any] = Field(
        {},
        description="Of Stable Audio: that of what projects text and seconds. Empty: neither is.",
    )
    latent_bands: int = Field(
        1, ge=1, le=WIDEST, description="Bands of the latent: a frame's channels and bands are one."
    )
    controls: tuple[Condition, ...] = Field(
        (), description="Always empty: what it attends to is the text; controls are rows."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        stated = self.shape.get(_CHANNELS[self.family])
        if stated != self.latent_channels * self.latent_bands:
            raise SchemaError(
                f"{self.family} takes frames of {stated} numbers, not of {self.latent_channels} "
                f"channels in {self.latent_bands} bands"
            )
        if self.controls:
            raise SchemaError("a released transformer takes no tokens of controls: name rows")
        return self

    @property
    def tokens_ahead(self) -> int:
        """Tokens before the first frame's."""
        return 1 if self.family is Family.STABLE_AUDIO else 0

    @property
    def patch(self) -> int:
        """Frames of a token."""
        return 1 if self.family is Family.STABLE_AUDIO else int(self.shape.get("patch_size", 2))
