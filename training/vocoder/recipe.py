"""The recipe of a vocoder of `mel`'s spectrogram: every knob, with a default and its source."""

from typing import Final, Self

from pydantic import model_validator

from pipelines.codecs.mel import SPECTROGRAM, MelCodec
from pipelines.codecs.vocoder_shape import VocoderConfig, VocoderShape
from schemas.codec import SpectrogramFacts
from schemas.errors import SchemaError
from training.codec.judged_recipe import CriticShape, JudgedRecipe, WaveLossRecipe
from training.data.recipe import SampleRecipe
from training.run.recipe import Decay, OptimRecipe, StepsRecipe
from training.vocoder.corruption import LevelCorruption


class VocoderRecipe(JudgedRecipe):
    """A whole training of a vocoder."""

    net: VocoderShape = VocoderShape()
    spectrogram: SpectrogramFacts = SPECTROGRAM  # what is played
    corruption: LevelCorruption = LevelCorruption()

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        self.check_windows(self.samples)
        if self.spectrogram != SPECTROGRAM:
            raise SchemaError("spectrogram: that of mel is the only one that is played so far")
        _ = self.config
        return self

    @property
    def config(self) -> VocoderConfig:
        """What lies beside the weights."""
        return VocoderConfig(spectrogram=self.spectrogram, net=self.net)

    @property
    def frames(self) -> int:
        """Latent frames of `mel` that are learned at a time, each of four of its spectrogram."""
        return max(1, round(self.data.seconds * MelCodec().facts.frames_per_s))

    @property
    def samples(self) -> int:
        """Samples of the wave that are learned at a time."""
        return self.frames * MelCodec().facts.samples_per_frame


# Half an hour of one CPU.
READY: Final = VocoderRecipe(
    data=SampleRecipe(seconds=1.0, batch=4, micro_batch=4, workers=1, validation=16),
    optim=OptimRecipe(
        lr=1e-3,
        warmup_steps=50,
        decay=Decay.COSINE,
        beta1=0.8,
        beta2=0.99,
        weight_decay=0,
        ema=0.995,
    ),
    run=StepsRecipe(steps=2600, checkpoint_every=500, validate_every=500, log_every=50, keep=2),
    loss=WaveLossRecipe(wave=0.0, judged_from=2000),
    critic=CriticShape(windows=(1024, 512, 256), width=8),
)
