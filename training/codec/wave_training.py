"""Training of the codec `wave`, from its recipe to the codec's folder; `training/excerpts/run.py`
walks it.
"""

from pathlib import Path
from typing import Final

import torch

from pipelines.codecs.layout import by_channel
from pipelines.codecs.wave import FOLDER, wave_facts
from pipelines.codecs.wave_net import WaveNet
from pipelines.codecs.wave_shape import WaveConfig
from pipelines.pretrained.own_weights import write_weights
from training.codec.lesson import DRAWS, Lesson, without_weight_norm
from training.codec.wave_learner import ReadyWaves, WaveLearner
from training.codec.wave_recipe import WaveRecipe
from training.data.examples import ReadingRules
from training.data.loading import BatchShare, Samples, batches
from training.excerpts.run import (
    ExcerptTraining,
    TrainedFolder,
    excerpt_reading,
    fill_averaged,
    train_excerpts,
    train_excerpts_of,
)
from training.run.metrics_log import ReportLine
from training.run.parallel import device_of

_SCALED_BY: Final = 256  # excerpts whose latents say where these lie


def train_wave_codec(recipe: WaveRecipe, out: Path, report: ReportLine = print) -> TrainedFolder:
    """Train, and at the end write the codec of the averaged weights.

    Raises `TrainingError` and `BadData`, as `train_excerpts` does.
    """
    return train_excerpts(_TRAINING, recipe, out, report)


def _reading(recipe: WaveRecipe) -> ReadingRules:
    rules = excerpt_reading(recipe, wave_facts(recipe.net), recipe.frames)
    return rules._replace(draws=DRAWS)


def _write_codec(recipe: WaveRecipe, out: Path) -> None:
    """The codec of a run's last checkpoint; its latents' middle and size are those of excerpts that
    it learned from.
    """
    lesson = Lesson(recipe)
    fill_averaged(lesson, out)
    net = without_weight_norm(lesson.net).to(device_of(recipe.run.device))
    _scale(net, recipe, train_excerpts_of(recipe, _reading(recipe)))
    write_weights(net, WaveConfig(net=recipe.net, bottleneck=recipe.bottleneck), out / FOLDER)


@torch.no_grad()
def _scale(net: WaveNet, recipe: WaveRecipe, samples: Samples) -> None:
    """Make the latents of excerpts of zero mean and unit variance, channel by channel."""
    share = BatchShare(recipe.data.micro_batch, recipe.data.micro_batch)
    steps = -(-_SCALED_BY // share.batch)
    found = []
    with batches(samples, share, first_step=0, last_step=steps, workers=0) as loader:
        for batch in loader:
            is_usable_B = batch.frames_B > 0
            waves_BAS = by_channel(batch.sounds[is_usable_B])
            latents_BCT = net.latents(waves_BAS.to(net.middle_C1.device))
            found.append(latents_BCT.transpose(0, 1).flatten(1))
    latents_CN = torch.cat(found, dim=1)
    net.middle_C1.copy_(latents_CN.mean(1, keepdim=True))
    # a channel that nothing moves stays as it is, not blown up
    net.size_C1.copy_(latents_CN.std(1, keepdim=True).clamp(min=1e-3))


_TRAINING: Final = ExcerptTraining[WaveRecipe, ReadyWaves](
    makes=FOLDER,
    held="a codec already, on which latents may depend",
    fixed=("net", "bottleneck", "critic"),
    learner=WaveLearner,
    reading=_reading,
    write=_write_codec,
)
