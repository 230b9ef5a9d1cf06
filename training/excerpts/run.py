"""Trainings that ask no more of corpora than excerpts of their sound: of a codec, of a vocoder, of
an upsampler. Each is a run as a model's is, and at its end writes what was learned.

The same call again goes on where the last one stopped; `step_loop.py` walks the steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from torch import nn

from pipelines.codecs import CodecFacts
from pipelines.pretrained.own_weights import CONFIG
from schemas.identity import Split
from schemas.record import Record
from training.data.examples import ReadingRules
from training.data.index import CorpusIndex, index_corpus
from training.data.loading import Samples
from training.data.order import SampleOrder
from training.data.prompts import PromptConfig
from training.errors import TrainingError
from training.run.checkpoints import EMA, find_checkpoint
from training.run.fit import shared
from training.run.learner import Learner, OnDevice
from training.run.loop import look_for_shards
from training.run.metrics_log import ReportLine
from training.run.model_weights import fill
from training.run.parallel import World
from training.run.recipe import LearningRecipe
from training.run.resume import CorpusStart, corpus_start
from training.run.step_loop import RunFolder, StepLoop, Trained, run_in_folder

L = TypeVar("L", bound=LearningRecipe)
R = TypeVar("R", bound=OnDevice)


class TrainedFolder(Record):
    """How a training ended, and where what it made is once all steps are done."""

    step: int
    stopped: bool
    checkpoint: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class ExcerptTraining(Generic[L, R]):
    """What is trained."""

    makes: str  # the folder within the run's that is written at its end
    held: str  # what a folder holds that has it: such as "a codec already"
    fixed: tuple[str, ...]  # sections of the recipe that weights depend on
    learner: Callable[[L, World], Learner[R]]
    reading: Callable[[L], ReadingRules]
    write: Callable[[L, Path], None]  # what was learned, once all steps are done


def train_excerpts(
    training: ExcerptTraining[L, R], recipe: L, out: Path, report: ReportLine
) -> TrainedFolder:
    """Train on corpora's train splits into a folder, from its last checkpoint where it has one, and
    at its end write what the averaged weights are.

    SIGTERM or SIGINT ends the run after the step in hand, with a checkpoint. Raises `TrainingError`
    where recipe and folder, shards or machine do not fit together, or the folder holds what would
    be written, and `BadData` for too many unusable samples or a loss that is not a number.
    """

    def before() -> None:  # in the first process alone
        if (out / training.makes / CONFIG).exists():  # written last: without it, it goes on
            raise TrainingError(f"{out} holds {training.held}: take another folder")
        look_for_shards(recipe)

    def go(folder: RunFolder, stop: Callable[[], bool]) -> Trained:
        return _ExcerptRun(training, recipe, folder).go(stop)

    made = run_in_folder(
        str(out),
        recipe.run.device,
        report,
        before=before,
        go=go,
        at_end=lambda: training.write(recipe, out),
    )
    return TrainedFolder(
        step=made.step, stopped=made.stopped, checkpoint=made.checkpoint, folder=str(out)
    )


def trained_folder(out: Path, *, stopped: bool) -> TrainedFolder:
    """How a training ended that other processes did: from its folder.

    Raises `TrainingError` where it holds no whole checkpoint.
    """
    found = find_checkpoint(str(out))
    return TrainedFolder(
        step=found.state().step, stopped=stopped, checkpoint=found.place, folder=str(out)
    )


class _ExcerptRun(StepLoop[R]):
    """One process's part of a run."""

    def __init__(self, training: ExcerptTraining[L, R], recipe: L, folder: RunFolder) -> None:
        recipe = shared(recipe, folder.world)
        super().__init__(recipe, folder)
        start: CorpusStart = folder.world.broadcast(
            lambda: corpus_start(recipe, folder.store, training.fixed)
        )
        for note in start.notes:
            self.report(note)
        reading = training.reading(recipe)
        self._begin(
            training.learner(recipe, folder.world),
            excerpts(recipe, reading, start.corpora),
            validation=excerpts(recipe, reading, start.validation, is_validation=True)
            if start.validation
            else None,
            corpus=start.learned_from,
            last=start.last,
            damaged=start.damaged,
            start_line=start.line(recipe, folder.world),
        )

    @property
    def _less_memory(self) -> str:
        """What there is to lower."""
        return "lower data.micro_batch or data.seconds"


def excerpt_reading(recipe: LearningRecipe, facts: CodecFacts, frames: int) -> ReadingRules:
    """How excerpts of so many frames are read from audio, without a word on what they are."""
    return ReadingRules(
        facts=facts,
        reads_latents=False,
        frames=frames,
        prompts=PromptConfig(),
        mean_sentences=1.0,
        seed=recipe.run.seed,
        batch=recipe.data.batch,
        without=frozenset(recipe.data.without),
    )


def excerpts(
    recipe: LearningRecipe,
    reading: ReadingRules,
    corpora: list[CorpusIndex],
    *,
    is_validation: bool = False,
) -> Samples:
    """What a run learns from: of each visit to a clip another excerpt; of validation the first."""
    weights = () if is_validation else recipe.data.weights
    order = SampleOrder([len(one) for one in corpora], weights=weights, seed=recipe.run.seed)
    return Samples(corpora, order, reading, full_conditioning=is_validation)


def train_excerpts_of(recipe: LearningRecipe, reading: ReadingRules) -> Samples:
    """Those that a run learns from, once more."""
    corpora = [index_corpus(target, Split.TRAIN) for target in recipe.data.shards]
    return excerpts(recipe, reading, corpora)


def fill_averaged(model: nn.Module, out: Path) -> None:
    """Give a model the averaged weights of a run's last checkpoint."""
    checkpoint = find_checkpoint(str(out))
    fill(dict(model.named_parameters()), checkpoint.mapped_weights(EMA), checkpoint.name)
