"""The recipe of whatever plays waves and learns from spectra and a critic: an autoencoder, a
vocoder.
"""

from typing import Annotated

from pydantic import Field

from schemas.errors import SchemaError
from schemas.record import Record
from training.run.recipe import LearningRecipe

Window = Annotated[int, Field(ge=32, le=16_384, multiple_of=4)]


class WaveLossRecipe(Record):
    """What a net that plays waves is told of its mistakes."""

    windows: tuple[Window, ...] = Field(
        (2048, 1024, 512, 256, 128),
        min_length=1,
        description="Samples of the windows that spectra are compared in.",
    )
    spectra: float = Field(1.0, ge=0, description="Weight of the distance of spectra.")
    wave: float = Field(
        1.0,
        ge=0,
        description=(
            "Weight of the waves' own distance, which soon teaches low pitches with their phase."
        ),
    )
    judged_from: int = Field(
        0,
        ge=0,
        description=(
            "The step from which a critic learns to tell what is played from music, and judges: "
            "the second phase. From run.steps on: never."
        ),
    )
    critic: float = Field(0.1, ge=0, description="Weight of its judgement. Stable Audio: 0.1.")
    features: float = Field(
        5.0, ge=0, description="Weight of the distance of what it sees. Stable Audio: 5."
    )


class CriticShape(Record):
    """The critic: a network of its own for each window (EnCodec's multi-scale STFT)."""

    windows: tuple[Window, ...] = Field(
        (2048, 1024, 512, 256, 128),
        min_length=1,
        description="Samples of the windows that it looks at. Stable Audio: 2048 to 128.",
    )
    width: int = Field(32, ge=1, le=1024, description="Channels of its layers. EnCodec: 32.")


class JudgedRecipe(LearningRecipe):
    """A training with a critic."""

    loss: WaveLossRecipe = WaveLossRecipe()
    critic: CriticShape = CriticShape()

    def check_windows(self, samples: int) -> None:
        """Raise `SchemaError` for windows that are longer than so many samples, an excerpt."""
        for name, windows in (("loss", self.loss.windows), ("critic", self.critic.windows)):
            if max(windows) > samples:
                raise SchemaError(
                    f"{name}.windows has {max(windows)} samples, but data.seconds "
                    f"{self.data.seconds:g} are {samples}: lower the one, or raise the other"
                )
