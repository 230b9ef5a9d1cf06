"""Training of an upsampler, from its recipe to its folder; `training/excerpts/run.py` walks it."""

from pathlib import Path
from typing import Final

from pipelines.pretrained.own_weights import write_weights
from training.data.examples import ReadingRules
from training.excerpts.run import (
    ExcerptTraining,
    TrainedFolder,
    excerpt_reading,
    fill_averaged,
    train_excerpts,
)
from training.run.metrics_log import ReportLine
from training.upsampler.learner import DRAWS, ReadyPairs, UpsamplerLearner
from training.upsampler.net import UpsamplerNet
from training.upsampler.play import FOLDER
from training.upsampler.recipe import UpsamplerRecipe


def train_upsampler(
    recipe: UpsamplerRecipe, out: Path, report: ReportLine = print
) -> TrainedFolder:
    """Train, and at the end write the upsampler of the averaged weights.

    Raises `TrainingError` and `BadData`, as `train_excerpts` does.
    """
    return train_excerpts(_TRAINING, recipe, out, report)


def _reading(recipe: UpsamplerRecipe) -> ReadingRules:
    rules = excerpt_reading(recipe, recipe.facts, recipe.frames)
    return rules._replace(draws=DRAWS, objective=recipe.objective, lower_hz=recipe.net.lower_hz)


def _write_upsampler(recipe: UpsamplerRecipe, out: Path) -> None:
    net = UpsamplerNet(recipe.net)
    fill_averaged(net, out)
    write_weights(net, recipe.config, out / FOLDER)


_TRAINING: Final = ExcerptTraining[UpsamplerRecipe, ReadyPairs](
    makes=FOLDER,
    held="an upsampler already",
    fixed=("net", "objective"),
    learner=UpsamplerLearner,
    reading=_reading,
    write=_write_upsampler,
)
