"""What the shapes of all nets have in common: the latent, and the conditions they take."""

from typing import Final, Self

import torch
from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Record
from training.conditions import CONTROLS, ChordRoots, Condition, SecondsAs
from training.conditions.embeddings import BASE, TIME_UNIT_S, Jump
from training.conditions.tokens import Context
from training.errors import TrainingError

# recipes come with models of others too: beyond this, shapes alone are no small matter
WIDEST: Final = 65_536
# what tokens can tell
TOKENS: Final = (Condition.BEATS, Condition.CHORDS)


class NetShape(Record):
    """Latents in and out, and what a net is told about them."""

    kind: str
    latent_channels: int = Field(
        ge=1, le=WIDEST, description="Channels of the latent, in and out: the codec's."
    )
    text_width: int = Field(
        1024,
        ge=1,
        le=WIDEST,
        description="Width of the text encoder's states. FLAN-T5-large: 1024. MiniLM: 384.",
    )
    control_width: int = Field(
        1024,
        ge=2,
        le=WIDEST,
        multiple_of=2,
        description="Width of the tokens of beats and chords. Mustango: 1024.",
    )
    controls: tuple[Condition, ...] = Field(
        TOKENS,
        description="What is attended to beside the text, as tokens: beats, chords, both, none.",
    )
    rows: tuple[Condition, ...] = Field(
        (),
        description=(
            "Controls laid out per latent frame: "
            "beats, chords, key, dynamics, melody, onsets. None, as published."
        ),
    )
    row_width: int = Field(
        96, ge=1, le=WIDEST, description="Channels that frame rows are mixed into."
    )
    chord_roots: ChordRoots = Field(
        ChordRoots.SINUSOIDS,
        description=(
            "Roots in the tokens of chords: sinusoids (Mustango's embedding of pitches, to which "
            "C and C sharp are all but alike), or a table of twelve learned vectors."
        ),
    )
    time_unit_s: float = Field(
        TIME_UNIT_S,
        gt=0,
        description=(
            "Seconds that times of beats and chords are counted in, as tokens. Mustango's code: 1."
        ),
    )
    time_base: float = Field(
        BASE,
        gt=1,
        description=(
            "How far their sinusoids spread: the slowest takes so many times as long as the "
            "fastest. Mustango's code: 10001."
        ),
    )
    seconds: bool = Field(
        False,
        description=(
            "Told where in its song the clip begins and how long the song is. Stable Audio "
            "(arXiv 2402.04825) is; Mustango not."
        ),
    )
    seconds_as: SecondsAs = Field(
        SecondsAs.ADDED,
        description=(
            "How it is told that: added to how far it is on the way to noise, or as two tokens "
            "behind the text, as Stable Audio has it. Tokens are dropped where all else is, so "
            "that guidance leads to them too."
        ),
    )
    jumps: bool = Field(
        False,
        description=(
            "Told where a jump ends, and its guidance: of a student alone, which `train --distil` "
            "makes of a model."
        ),
    )

    @model_validator(mode="after")
    def _check_conditions(self) -> Self:
        _check_controls("controls", self.controls, TOKENS)
        _check_controls("rows", self.rows, CONTROLS)
        return self

    @property
    def adds_seconds(self) -> bool:
        """Whether the net itself takes seconds."""
        return self.seconds and self.seconds_as is SecondsAs.ADDED

    @property
    def attends_to_seconds(self) -> bool:
        """Whether seconds are tokens behind the text."""
        return self.seconds and self.seconds_as is SecondsAs.TOKENS

    def blind(self) -> Self:
        """The control-blind twin: the same net without tokens and frame rows."""
        return self.replaced(controls=(), rows=())


class FrameNetShape(NetShape):
    """The same of a net whose tokens are frames, each with all of its bands."""

    latent_bands: int = Field(
        1, ge=1, le=WIDEST, description="Bands of the latent: a frame's channels and bands are one."
    )


def _check_controls(name: str, given: tuple[Condition, ...], known: tuple[Condition, ...]) -> None:
    if set(given) - set(known) or len(set(given)) != len(given):
        raise SchemaError(
            f"{name} are some of {', '.join(known)}, each once, or none; "
            f"not {[str(control) for control in given]}"
        )


def check_inputs(
    shape: NetShape,
    x_BCTF: torch.Tensor,
    context: Context,
    seconds_B2: torch.Tensor | None,
    rows_BTR: torch.Tensor | None,
    jump: Jump | None = None,
) -> None:
    """Raise `TrainingError` where a net is given what it does not take, or not what it takes."""
    if x_BCTF.shape[1] != shape.latent_channels:
        raise TrainingError(
            f"a latent of {x_BCTF.shape[1]} channels for a net of "
            f"{shape.latent_channels}: is it another codec's?"
        )
    if isinstance(shape, FrameNetShape) and x_BCTF.shape[3] != shape.latent_bands:
        raise TrainingError(
            f"a latent of {x_BCTF.shape[3]} bands for a net of "
            f"{shape.latent_bands}: is it another codec's?"
        )
    missing = [
        str(condition)
        for condition in (Condition.TEXT, *shape.controls)
        if condition not in context
    ]
    if missing:
        raise TrainingError(
            f"no tokens for {', '.join(missing)}; "
            "a net that is to do without is made from config.blind()"
        )
    if seconds_B2 is not None and not shape.adds_seconds:
        raise TrainingError(
            "this net takes no seconds: its configuration has seconds=False, or they are tokens"
        )
    if (jump is not None) != shape.jumps:
        raise TrainingError(
            "this net is told of jumps, and was told of none: it is a student"
            if shape.jumps
            else "this net takes no jumps: only a student does, which `train --distil` makes"
        )
    if rows_BTR is not None and not shape.rows:
        raise TrainingError("this net takes no frame rows: its configuration has rows=()")
    if rows_BTR is not None and rows_BTR.shape[1] != x_BCTF.shape[2]:
        raise TrainingError(
            f"frame rows of {rows_BTR.shape[1]} frames for a latent of {x_BCTF.shape[2]}"
        )
