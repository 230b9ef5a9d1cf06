"""Which released transformer, in its own configuration."""

from enum import StrEnum
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from training.conditions import Condition
from training.conditions.net_shape import FrameNetShape


class Family(StrEnum):
    """Released transformers, by diffusers' class."""

    STABLE_AUDIO = "StableAudioDiTModel"
    ACE_STEP = "AceStepTransformer1DModel"


_CHANNELS: Final = {
    Family.STABLE_AUDIO: "in_channels",
    Family.ACE_STEP: "audio_acoustic_hidden_dim",
}


_LAYERS: Final = {Family.STABLE_AUDIO: "num_layers", Family.ACE_STEP: "num_hidden_layers"}
_NEEDED: Final = {
    Family.STABLE_AUDIO: (
        "in_channels",
        "num_layers",
        "num_attention_heads",
        "attention_head_dim",
        "global_states_input_dim",
    ),
    Family.ACE_STEP: (
        "audio_acoustic_hidden_dim",
        "num_hidden_layers",
        "hidden_size",
        "patch_size",
    ),
}
_DEEPEST: Final = 256
_LARGEST: Final = 1 << 24  # of any number in a configuration; rotary bases are a million or so


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _is_beyond(value: object) -> bool:
    """Whether a value would take memory or time that no weights account for."""
    if isinstance(value, list):
        return len(value) > _DEEPEST
    return isinstance(value, int | float) and abs(value) > _LARGEST


class ReleasedConfig(FrameNetShape):
    """A transformer that others released. Frame rows are added before each of its blocks."""

    kind: Literal["released"] = Field("released", description="released, munet, or dit.")
    family: Family = Field(description="StableAudioDiTModel or AceStepTransformer1DModel.")
    shape: dict[str, Any] = Field(description="Its own configuration, as diffusers stores it.")
    projection: dict[str, Any] = Field(
        {},
        description="Of Stable Audio: that of what projects text and seconds. Empty: neither is.",
    )
    controls: tuple[Condition, ...] = Field(
        (), description="Always empty: what it attends to is the text; controls are rows."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        absent = [knob for knob in _NEEDED[self.family] if not _is_size(self.shape.get(knob))]
        if absent:
            raise SchemaError(f"{self.family} is shaped by {', '.join(absent)}, whole numbers")
        if any(_is_beyond(value) for value in (*self.shape.values(), *self.projection.values())):
            raise SchemaError(f"no {self.family} that was released is as large as this one")
        if self.shape[_LAYERS[self.family]] > _DEEPEST:
            raise SchemaError(f"{self.family} of more than {_DEEPEST} blocks")
        stated = self.shape[_CHANNELS[self.family]]
        if stated != self.latent_channels * self.latent_bands:
            raise SchemaError(
                f"{self.family} takes frames of {stated} numbers, not of {self.latent_channels} "
                f"channels in {self.latent_bands} bands"
            )
        if self.controls:
            raise SchemaError("a released transformer takes no tokens of controls: name rows")
        if self.jumps:
            raise SchemaError(
                "a released transformer is told no jumps, so it has no student: distil a munet or "
                "a dit"
            )
        if self.attends_to_seconds:
            raise SchemaError(
                "a released transformer is told seconds through its projection, not as "
                "seconds_as=tokens"
            )
        if self.seconds != bool(self.projection):
            raise SchemaError(
                "a released transformer is told seconds through its projection: leave "
                f"seconds={bool(self.projection)}, as it was imported"
            )
        return self

    @property
    def width(self) -> int:
        """Channels of a token."""
        if self.family is Family.ACE_STEP:
            return int(self.shape["hidden_size"])
        return int(self.shape["num_attention_heads"]) * int(self.shape["attention_head_dim"])

    @property
    def tokens_ahead(self) -> int:
        """Tokens before the first frame's."""
        return 1 if self.family is Family.STABLE_AUDIO else 0

    @property
    def patch(self) -> int:
        """Frames of a token."""
        return 1 if self.family is Family.STABLE_AUDIO else int(self.shape["patch_size"])
