"""The recipe of an autoencoder of waves: every knob, with a default and its source; two presets."""

from typing import Final, Self

from pydantic import model_validator

from pipelines.codecs.wave_shape import Bottleneck, KlBottleneck, WaveShape
from training.codec.judged_recipe import CriticShape, JudgedRecipe, WaveLossRecipe
from training.data.recipe import SampleRecipe
from training.errors import TrainingError
from training.run.recipe import (
    Decay,
    OptimRecipe,
    Precision,
    StepsRecipe,
)


class WaveRecipe(JudgedRecipe):
    """A whole training of the codec `wave`."""

    net: WaveShape
    bottleneck: Bottleneck = KlBottleneck()

    @model_validator(mode="after")
    def _check_windows(self) -> Self:
        self.check_windows(self.frames * self.net.hop)
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
    run=StepsRecipe(steps=6400, checkpoint_every=500, validate_every=1000, log_every=50, keep=2),
    loss=WaveLossRecipe(judged_from=4600),
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
