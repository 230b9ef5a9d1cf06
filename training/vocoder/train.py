"""Training of a vocoder, from its recipe to its folder; `training/excerpts/run.py` walks it."""

from pathlib import Path
from typing import Final

from pipelines.codecs.mel import MelCodec
from pipelines.codecs.vocoder import FOLDER
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
from training.vocoder.corruption import DRAWS
from training.vocoder.lesson import ReadyClips, VocoderLearner, VocoderLesson
from training.vocoder.recipe import VocoderRecipe


def train_vocoder(recipe: VocoderRecipe, out: Path, report: ReportLine = print) -> TrainedFolder:
    """Train, and at the end write the vocoder of the averaged weights.

    Raises `TrainingError` and `BadData`, as `train_excerpts` does.
    """
    return train_excerpts(_TRAINING, recipe, out, report)


def _reading(recipe: VocoderRecipe) -> ReadingRules:
    rules = excerpt_reading(recipe, MelCodec().facts, recipe.frames)
    return rules._replace(draws=DRAWS)


def _write_vocoder(recipe: VocoderRecipe, out: Path) -> None:
    lesson = VocoderLesson(recipe)
    fill_averaged(lesson, out)
    write_weights(lesson.net, recipe.config, out / FOLDER)


_TRAINING: Final = ExcerptTraining[VocoderRecipe, ReadyClips](
    makes=FOLDER,
    held="a vocoder already",
    fixed=("net", "spectrogram", "critic"),
    learner=VocoderLearner,
    reading=_reading,
    write=_write_vocoder,
)
