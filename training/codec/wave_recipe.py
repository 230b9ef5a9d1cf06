"""The recipe of an autoencoder of waves: every knob, with a default and its source; two presets."""

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from pipelines.codecs.wave_shape import Bottleneck, KlBottleneck, WaveShape
from schemas.errors import SchemaError
from schemas.record import Record
from training.errors import TrainingError
from training.run.data_recipe import SampleRecipe
from training.run.recipe import (
    Decay,
    LearningRecipe,
    OptimRecipe,
    Precision,
    StepsRecipe,
)

Window = Annotated[int, Field(ge=32, le=16_384, multiple_of=4)]


class WaveLossRecipe(Record):
    """What the autoencoder is told of its mistakes."""

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


class WaveRecipe(LearningRecipe):
    """A whole training of the codec `wave`."""

    net: WaveShape
    bottleneck: Bottleneck = KlBottleneck()
    loss: WaveLossRecipe = WaveLossRecipe()
    critic: CriticShape = CriticShape()

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        samples = self.frames * self.net.hop
        for name, windows in (("loss", self.loss.windows), ("critic", self.critic.windows)):
            if max(windows) > samples:
                raise SchemaError(
                    f"{name}.windows has {max(windows)} samples, but data.seconds "
                    f"{self.data.seconds:g} are {samples}: lower the one, or raise the other"
                )
        return self

    @property
    def frames(self) -> int:
        """Latent frames that are learned at a time."""
        return max(1, round(self.data.seconds * self.net.frames_per_s))


# An hour of one CPU. 62.5 frames × 64 channels are 4,000 numbers a second: of `mel` it is 4,096.
_TINY: Final = WaveRecipe(
    net=WaveShape(
        strides=(8, 8, 4),
        encoder_widths=(8, 48, 96, 128),
        decoder_widths=(12, 64, 160, 256),
    ),
    data=SampleRecipe(seconds=0.512, batch=4, micro_batch=4, workers=1, validation=16),
    optim=OptimRecipe(
        lr=1e-3,
        warmup_steps=50,
        decay=Decay.COSINE,
        beta1=0.8,
        beta2=0.99,
        weight_decay=0,
        ema=0.998,
    ),
    run=StepsRecipe(steps=9000, checkpoint_every=500, validate_every=1000, log_every=50, keep=2),
    loss=WaveLossRecipe(judged_from=8000),
    critic=CriticShape(windows=(1024, 512, 256), width=8),
)
# One GPU, days. The shape of Stable Audio's autoencoder: 21.5 frames × 64 channels a second.
_STEREO: Final = WaveRecipe(
    net=WaveShape(
        rate_hz=44_100,
        wave_channels=2,
        strides=(2, 4, 4, 8, 8),
        encoder_widths=(128, 128, 256, 512, 1024, 2048),
        decoder_widths=(128, 128, 256, 512, 1024, 2048),
    ),
    data=SampleRecipe(seconds=1.486, batch=32, micro_batch=8, workers=8),
    optim=OptimRecipe(
        lr=1.5e-4,
        warmup_steps=1000,
        decay=Decay.COSINE,
        beta1=0.8,
        beta2=0.99,
        weight_decay=0.001,
    ),
    run=StepsRecipe(
        steps=500_000,
        precision=Precision.BF16,
        checkpoint_every=5000,
        validate_every=5000,
        skipped_losses=3,
        keep_moments=2,
    ),
    loss=WaveLossRecipe(windows=(2048, 1024, 512, 256, 128, 64, 32), wave=0.1, judged_from=50_000),
)
READY: Final = {"tiny": _TINY, "stereo": _STEREO}


def ready_wave(name: str) -> WaveRecipe:
    """The recipe of a preset.

    Raises `TrainingError` for a name that is not one.

    >>> tiny = ready_wave("tiny")
    >>> tiny.net.frames_per_s * tiny.net.latent_channels
    4000.0
    """
    if name not in READY:
        raise TrainingError(
            f"{name!r} is not a preset of the wave codec: take {' or '.join(READY)}"
        )
    return READY[name]
