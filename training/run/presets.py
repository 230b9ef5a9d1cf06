"""Ready training recipes."""

from typing import Final

from training.data.prompts import PromptConfig
from training.data.recipe import DataRecipe
from training.diffusion.text_encoder import FLAN_T5
from training.dit.config import SMALL_DIT, STABLE_DIT, TINY_DIT
from training.errors import TrainingError
from training.munet.config import Preset, preset
from training.objectives.diffusion import BetaSchedule, DiffusionConfig
from training.objectives.flow import FlowConfig, FlowTarget
from training.run.recipe import (
    CodecRecipe,
    Decay,
    OptimRecipe,
    Precision,
    RunRecipe,
    TextRecipe,
    TrainRecipe,
)
from training.samplers.config import Sampler, SamplingConfig

# Moments are half of a checkpoint: one to go on from, and one beside it. Of a run of days a few
# steps may be lost.
_GPU: Final = RunRecipe(precision=Precision.BF16, compile=True, keep_moments=2, skipped_losses=3)
# What is played is decided where there is most noise, and min-SNR all but leaves those steps out:
# with a target of v its weight is 0.014 at step 900 of 1000. Mustango's published code weighs them
# fully, by using the weight of the noise.
_OBJECTIVE: Final = DiffusionConfig(snr_gamma=None)
# Nothing published is played with these: levels are learned, and controls have a guidance.
_OURS: Final = _OBJECTIVE.replaced(zero_terminal=True)
_PROMPTS: Final = PromptConfig(drop_controls=0.1, silent_drops=0.5)
_SAMPLING: Final = SamplingConfig(clamp=True)
_AUDIOLDM: Final = CodecRecipe(name="audioldm")
_FLAN: Final = TextRecipe(source=FLAN_T5)
_TANGO_DATA: Final = DataRecipe(seconds=10.24, workers=8)  # 256 latent frames
# Mustango: 200 steps, guidance 3
_PUBLISHED: Final = SamplingConfig(sampler=Sampler.DDIM, steps=200)

# Minutes on a CPU, without any download. In equal time, and of equal data, it has learned more than
# the MuNet beside it.
_TINY: Final = TrainRecipe(
    model=TINY_DIT,
    # A token is 512 numbers, the net 192 wide. Errors of a latent count most where little noise is
    # left, chords are decided where there is much: Li & He's mean of logits (arXiv 2511.13720).
    objective=FlowConfig(target=FlowTarget.LATENT, logit_mean=0.8),
    prompts=_PROMPTS,
    # asks the net 25 times, and ends nearer to where endless steps would than 25 of Euler's
    sampling=_SAMPLING.replaced(sampler=Sampler.HEUN, steps=13),
    run=RunRecipe(steps=1600, checkpoint_every=200, validate_every=200, play_every=800),
    data=DataRecipe(batch=16, micro_batch=16, workers=1),
    text=TextRecipe(cache_mb=1500),
    optim=OptimRecipe(lr=1e-3, warmup_steps=50, decay=Decay.COSINE, ema=0.995),
)
# One GPU.
_SMALL: Final = TrainRecipe(
    model=preset(Preset.SMALL),
    objective=_OURS,
    prompts=_PROMPTS,
    sampling=_SAMPLING,
    run=_GPU,
    data=_TANGO_DATA.replaced(micro_batch=32),
    codec=_AUDIOLDM,
    text=_FLAN,
    optim=OptimRecipe(lr=2e-4, warmup_steps=1000, decay=Decay.COSINE, ema=0.999),
)

READY: Final = {
    "tiny": _TINY,
    "tiny-munet": _TINY.replaced(
        model=preset(Preset.TINY), objective=_OURS, sampling=_SAMPLING.replaced(steps=25)
    ),
    "small": _SMALL,
    "small-dit": _SMALL.replaced(
        model=SMALL_DIT,
        objective=FlowConfig(),
        sampling=_SAMPLING.replaced(sampler=Sampler.HEUN, steps=25),
    ),
    # As Mustango was trained. At 16 samples at once it takes 64 of 80 GB, by an estimate.
    "base": TrainRecipe(
        model=preset(Preset.BASE),
        objective=_OBJECTIVE,
        run=_GPU,
        data=_TANGO_DATA.replaced(micro_batch=16),
        codec=_AUDIOLDM,
        text=_FLAN,
        sampling=_PUBLISHED,
    ),
    # The same model with Noise2Music's optimizer, averaging and prompts.
    "n2m": TrainRecipe(
        model=preset(Preset.BASE),
        run=_GPU,
        data=_TANGO_DATA.replaced(micro_batch=16),
        codec=_AUDIOLDM,
        text=_FLAN,
        objective=_OBJECTIVE,
        # Noise2Music has one condition, hidden in a tenth of visits; its best guidance is 5 to 10
        prompts=PromptConfig(labelled=1.0, masking=0, drop_all=0.1, drop_each=0.0),
        optim=OptimRecipe(
            lr=1e-4, warmup_steps=10_000, decay=Decay.COSINE, weight_decay=0, ema=0.9999
        ),
        sampling=_PUBLISHED.replaced(guidance=7.0),
    ),
    # After Stable Audio (arXiv 2402.04825): windows of 95 s with timing and learned silence,
    # prompts of metadata, v on a cosine, 100 steps at guidance 6; but a transformer in place of its
    # UNet, FLAN-T5 in place of its CLAP, and all controls as frame rows, which it has not.
    "stable": TrainRecipe(
        model=STABLE_DIT,
        objective=_OBJECTIVE.replaced(schedule=BetaSchedule.COSINE),
        # in a tenth of visits nothing is told, seconds neither
        prompts=_PROMPTS.replaced(metadata=1.0, masking=0, drop_all=0.1),
        run=_GPU.replaced(steps=640_000, checkpointing=True),
        data=DataRecipe(seconds=95.1, batch=256, micro_batch=16, workers=8, silence=True),
        codec=CodecRecipe(name="wave"),
        text=_FLAN,
        optim=OptimRecipe(lr=1e-4, warmup_steps=1000, decay=Decay.COSINE, ema=0.9999),
        sampling=_SAMPLING.replaced(steps=100, guidance=6.0),
    ),
}


def ready_recipe(name: str) -> TrainRecipe:
    """A ready training recipe by its name. Raises `TrainingError` for any other name.

    >>> ready_recipe("base").optim.lr
    4.5e-05
    """
    if name not in READY:
        raise TrainingError(f"no preset called {name!r}: expected {', '.join(READY)}")
    return READY[name]
