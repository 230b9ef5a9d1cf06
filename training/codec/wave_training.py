"""Training of the codec `wave`, from its recipe to the codec's folder.

The same call again goes on where the last one stopped; `training/run/step_loop.py` walks the steps.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from pipelines.codecs.layout import by_channel
from pipelines.codecs.wave import FOLDER, save_net, wave_facts
from pipelines.codecs.wave_net import WaveNet
from pipelines.codecs.wave_shape import WaveConfig
from schemas.identity import Split
from schemas.record import Record
from training.codec.lesson import DRAWS, Lesson, without_weight_norm
from training.codec.wave_learner import ReadyWaves, WaveLearner
from training.codec.wave_recipe import WaveRecipe
from training.data.examples import ReadingRules
from training.data.index import CorpusIndex, index_corpus
from training.data.loading import BatchShare, Samples, batches
from training.data.order import SampleOrder
from training.data.prompts import PromptConfig
from training.errors import TrainingError
from training.run.checkpoints import EMA, find_checkpoint
from training.run.fit import shared
from training.run.loop import look_for_shards
from training.run.metrics_log import ReportLine
from training.run.model_weights import fill
from training.run.parallel import device_of
from training.run.resume import CorpusStart, corpus_start
from training.run.step_loop import RunFolder, StepLoop, Trained, run_in_folder

_FIXED: Final = ("net", "bottleneck", "critic")  # what weights depend on
_SCALED_BY: Final = 256  # excerpts whose latents say where these lie


class WaveTrained(Record):
    """How a training ended, and where the codec is once all steps are done."""

    step: int
    stopped: bool
    checkpoint: str
    folder: str


def train_wave_codec(recipe: WaveRecipe, out: Path, report: ReportLine = print) -> WaveTrained:
    """Train on corpora's train splits into a folder, from its last checkpoint where it has one, and
    at its end write the codec of the averaged weights.

    SIGTERM or SIGINT ends the run after the step in hand, with a checkpoint. Raises `TrainingError`
    where recipe and folder, shards or machine do not fit together, or the folder holds the codec
    already, and `BadData` for too many unusable samples or a loss that is not a number.
    """

    def before() -> None:  # in the first process alone
        if (out / FOLDER).exists():
            raise TrainingError(
                f"{out} holds a codec already, on which latents may depend: take another folder"
            )
        look_for_shards(recipe)

    def go(folder: RunFolder, stop: Callable[[], bool]) -> Trained:
        return _WaveRun(recipe, folder).go(stop)

    made = run_in_folder(
        str(out),
        recipe.run.device,
        report,
        before=before,
        go=go,
        at_end=lambda: _write_codec(recipe, out),
    )
    return WaveTrained(
        step=made.step, stopped=made.stopped, checkpoint=made.checkpoint, folder=str(out)
    )


def wave_trained(out: Path, *, stopped: bool) -> WaveTrained:
    """How a training ended that others did: from its folder.

    Raises `TrainingError` where it holds no whole checkpoint.
    """
    found = find_checkpoint(str(out))
    return WaveTrained(
        step=found.state().step, stopped=stopped, checkpoint=found.place, folder=str(out)
    )


class _WaveRun(StepLoop[ReadyWaves]):
    """One process's part of a run."""

    def __init__(self, recipe: WaveRecipe, folder: RunFolder) -> None:
        recipe = shared(recipe, folder.world)
        super().__init__(recipe, folder)
        start: CorpusStart = folder.world.broadcast(
            lambda: corpus_start(recipe, folder.store, _FIXED)
        )
        for note in start.notes:
            self.report(note)
        self._begin(
            WaveLearner(recipe, folder.world),
            _samples(recipe, start.corpora),
            validation=_samples(recipe, start.validation, is_validation=True)
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


def _samples(
    recipe: WaveRecipe, corpora: list[CorpusIndex], *, is_validation: bool = False
) -> Samples:
    """Excerpts: of each visit to a clip another one; of validation the first."""
    weights = () if is_validation else recipe.data.weights
    reading = ReadingRules(
        facts=wave_facts(recipe.net),
        reads_latents=False,
        frames=recipe.frames,
        prompts=PromptConfig(),
        mean_sentences=1.0,
        seed=recipe.run.seed,
        batch=recipe.data.batch,
        without=frozenset(recipe.data.without),
        draws=DRAWS,
    )
    order = SampleOrder([len(one) for one in corpora], weights=weights, seed=recipe.run.seed)
    return Samples(corpora, order, reading, full_conditioning=is_validation)


def _write_codec(recipe: WaveRecipe, out: Path) -> None:
    """The codec of a run's last checkpoint; its latents' middle and size are those of excerpts that
    it learned from.
    """
    lesson = Lesson(recipe)
    checkpoint = find_checkpoint(str(out))
    fill(dict(lesson.named_parameters()), checkpoint.mapped_weights(EMA), checkpoint.name)
    net = without_weight_norm(lesson.net).to(device_of(recipe.run.device))
    corpora = [index_corpus(target, Split.TRAIN) for target in recipe.data.shards]
    _scale(net, recipe, _samples(recipe, corpora))
    save_net(net, WaveConfig(net=recipe.net, bottleneck=recipe.bottleneck), out / FOLDER)


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
