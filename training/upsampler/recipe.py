"""The recipe of an upsampler: every knob, with a default and its source; two presets."""

from typing import Final, Self

from pydantic import Field, model_validator

from pipelines.codecs import CodecFacts
from schemas.record import Confidence, Record
from training.data.recipe import SampleRecipe
from training.errors import TrainingError
from training.objectives import ObjectiveConfig
from training.objectives.flow import FlowConfig, FlowTarget
from training.run.recipe import Decay, LearningRecipe, OptimRecipe, StepsRecipe
from training.upsampler.levels import GIVEN
from training.upsampler.shape import UpsamplerConfig, UpsamplerPlay, UpsamplerShape


class GivenCorruption(Record):
    """How what is given is made worse while learning, as what a model plays is worse than music."""

    noise: Confidence = Field(
        1.0,
        description=(
            "Latest time of the noise that it gets: 0 none, 1 all; the network is told which. "
            "Noise2Music: 1, of its cascader 0.5."
        ),
    )
    blur: float = Field(
        0.0,
        ge=0,
        description=(
            "Most blur along samples, as a standard deviation. Noise2Music's cascader: 0.1 to 5."
        ),
    )


class UpsamplerRecipe(LearningRecipe):
    """A whole training of an upsampler."""

    net: UpsamplerShape = UpsamplerShape()
    objective: ObjectiveConfig = FlowConfig(target=FlowTarget.LATENT, logit_mean=0.8)
    corruption: GivenCorruption = GivenCorruption()
    played: UpsamplerPlay = UpsamplerPlay()

    @model_validator(mode="after")
    def _check_played(self) -> Self:
        _ = self.config
        return self

    @property
    def config(self) -> UpsamplerConfig:
        """What lies beside the weights."""
        return UpsamplerConfig(net=self.net, objective=self.objective, played=self.played)

    @property
    def facts(self) -> CodecFacts:
        """What is read, as samples are: a wave, and of each sample noise for it and for what is
        given.
        """
        hop = self.net.hop
        return CodecFacts(
            name="upsampler",
            version="",
            licence="own",
            rate_hz=self.net.rate_hz,
            channels=(1 + GIVEN) * hop,
            bands=1,
            samples_per_frame=hop,
        )

    @property
    def frames(self) -> int:
        """Frames of the deepest level that are learned at a time."""
        return max(1, round(self.data.seconds * self.facts.frames_per_s))


_STEPS: Final = StepsRecipe(
    steps=2000, checkpoint_every=500, validate_every=500, log_every=50, keep=2
)
# Half an hour of one CPU.
_SUPER_RESOLUTION: Final = UpsamplerRecipe(
    data=SampleRecipe(seconds=0.5, batch=8, micro_batch=8, workers=1, validation=32),
    optim=OptimRecipe(
        lr=1e-3, warmup_steps=100, decay=Decay.COSINE, beta2=0.99, weight_decay=0, ema=0.995
    ),
    run=_STEPS,
)
_CASCADER: Final = _SUPER_RESOLUTION.replaced(
    net=UpsamplerShape(rate_hz=16_000, lower_hz=3_200, treble_level=0.015, added_level=0.007),
    corruption=GivenCorruption(noise=0.5, blur=5.0),
)
READY: Final = {"super-resolution": _SUPER_RESOLUTION, "cascader": _CASCADER}


def ready_upsampler(name: str) -> UpsamplerRecipe:
    """The recipe of a preset.

    Raises `TrainingError` for a name that is not one.

    >>> cascader = ready_upsampler("cascader")
    >>> cascader.net.lower_hz, cascader.net.rate_hz, cascader.corruption.noise
    (3200, 16000, 0.5)
    """
    if name not in READY:
        raise TrainingError(f"{name!r} is not a preset of an upsampler: take {' or '.join(READY)}")
    return READY[name]
