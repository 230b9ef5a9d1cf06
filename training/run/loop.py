"""A model's training run, from its recipe to its last checkpoint.

The same call again goes on where the last one stopped; `step_loop` walks the steps.
"""

from collections.abc import Callable

from pipelines.codecs import open_codec
from pipelines.codecs.vocoder import open_vocoder, with_vocoder
from pipelines.errors import PipelineError
from pipelines.shards.find import find_shards
from pipelines.trust.trusted import trust
from training.data.buckets import BucketedOrder
from training.data.examples import ReadingRules
from training.data.index import CorpusIndex
from training.data.level_curves import check_level_curves
from training.data.loading import Samples
from training.data.order import PositionOrder, SampleOrder
from training.data.silence import silent_latent
from training.diffusion.text_encoder import TextCache, open_text_encoder
from training.distillation.config import DRAWS, JumpStarts
from training.errors import TrainingError
from training.run.fit import check_fit, shared
from training.run.metrics_log import MetricsLog, ReportLine
from training.run.parallel import World
from training.run.prefetch import ReadyBatch
from training.run.recipe import (
    CodecRecipe,
    LearningRecipe,
    TextRecipe,
    TrainRecipe,
    foreign_names,
)
from training.run.resume import RunStart, run_start
from training.run.step_loop import RunFolder, StepLoop, Trained, run_in_folder
from training.run.throughput import Clock, flops_per_sample
from training.run.trainer import Trainer
from training.run.validation import preview, validation_batches
from training.run.warm_start import adapter_origin, parent_weights, teacher_of


def train(
    recipe: TrainRecipe,
    out: str,
    report: ReportLine = print,
    *,
    at_end: Callable[[], object] = lambda: None,
) -> Trained:
    """Train by a recipe into a folder, from its last checkpoint where it has one.

    Once all steps are done the first process calls `at_end`, while the others wait and the folder
    is still its own. SIGTERM or SIGINT ends the run after the step in hand, with a checkpoint.
    Raises `TrainingError` where recipe and folder, shards or machine do not fit together, and
    `BadData` for too many unusable samples or a loss that is not a number.
    """

    def before() -> None:  # in the first process alone
        look_for_shards(recipe)
        remember(recipe.text, recipe.codec, out, report)

    return run_in_folder(
        out,
        recipe.run.device,
        report,
        before=before,
        go=lambda folder, stop: _TrainingRun(recipe, folder).go(stop),
        at_end=at_end,
    )


def look_for_shards(recipe: LearningRecipe) -> None:
    """Raise `TrainingError` for a target that is not there, or has no shard."""
    for target in recipe.data.shards:
        try:
            find_shards(target)
        except PipelineError as error:
            raise TrainingError(str(error)) from error


def remember(text: TextRecipe, codec: CodecRecipe, out: str, report: ReportLine) -> None:
    """Note what a recipe names that was handed over for this run, so that its model may be played
    here; a job's node may not keep it.
    """
    try:
        trust(out, foreign_names(text, codec))
    except PipelineError as error:
        report(f"playing this model here will ask again: {error}")


class _TrainingRun(StepLoop[ReadyBatch]):
    """One process's part of a run."""

    recipe: TrainRecipe
    learner: Trainer

    def __init__(self, recipe: TrainRecipe, folder: RunFolder) -> None:
        recipe, world = shared(recipe, folder.world), folder.world
        super().__init__(recipe, folder)
        codec = open_codec(recipe.codec.name, recipe.codec.source, str(world.device))
        if recipe.codec.vocoder:
            vocoder = open_vocoder(recipe.codec.vocoder, str(world.device))
            codec = with_vocoder(codec, vocoder)
        encoder = open_text_encoder(
            recipe.text.source, str(world.device), recipe.text.max_tokens, recipe.text.encoder
        )
        check_fit(recipe, codec, encoder.width)
        start = world.broadcast(lambda: run_start(recipe, folder.store, codec, world.device))
        self.survey = start.survey
        check_level_curves(recipe.data.level_curves, codec.facts, reads_latents=self.survey.latents)
        self.parents = start.parents
        begun = parent_weights(start.parents[-1]) if start.reads_parent else None
        cache = TextCache(encoder, recipe.text.cache_mb)
        teacher = None
        if begun is not None and recipe.model.jumps:
            teacher = teacher_of(start.parents[-1], begun, recipe.distil)
        trainer = Trainer(recipe, codec, cache, world, begun, teacher)
        for note in start.notes:
            self.report(note)
        self._begin(
            trainer,
            self._samples(trainer, start.corpora, full_conditioning=False),
            validation=self._samples(trainer, start.validation, full_conditioning=True)
            if start.validation
            else None,
            corpus=start.survey,
            last=start.last,
            damaged=start.damaged,
            start_line=_start_line(start, recipe, world),
        )

    def _samples(
        self, trainer: Trainer, corpora: list[CorpusIndex], *, full_conditioning: bool
    ) -> Samples:
        rules, frames = self.recipe, trainer.shape[1]
        weights = () if full_conditioning else rules.data.weights
        order: PositionOrder = SampleOrder(
            [len(corpus) for corpus in corpora], weights=weights, seed=rules.run.seed
        )
        if rules.data.buckets and not full_conditioning:
            order = BucketedOrder(order, corpora, batch=rules.data.batch, seed=rules.run.seed)
        reading = ReadingRules(
            facts=trainer.codec.facts,
            reads_latents=self.survey.latents,
            frames=frames,
            objective=JumpStarts(rules.objective, rules.distil.at_ends)
            if rules.model.jumps
            else rules.objective,
            prompts=rules.prompts,
            mean_sentences=self.survey.mean_sentences,
            seed=rules.run.seed,
            rows=rules.model.rows,
            batch=rules.data.batch,
            level_curves=rules.data.level_curves,
            without=frozenset(rules.data.without),
            draws=DRAWS if rules.model.jumps else 0,
            limits=rules.data.limits,
            buckets=tuple(trainer.frames_of(seconds) for seconds in rules.data.buckets),
            drops_seconds=rules.model.attends_to_seconds,
            silence_CTF=silent_latent(trainer.codec, frames, self.world.device)
            if rules.data.silence
            else None,
        )
        return Samples(corpora, order, reading, full_conditioning=full_conditioning)

    def _clock(self) -> Clock:
        """A clock that knows what a sample costs, where all cost the same."""
        if self.recipe.data.buckets:
            return super()._clock()
        return Clock(
            self.recipe.run, self.world, lambda: flops_per_sample(self.recipe, *self.learner.shape)
        )

    @property
    def _less_memory(self) -> str:
        """What there is to lower."""
        return "lower data.micro_batch, or set run.checkpointing=true"

    @property
    def _metadata(self) -> dict[str, str] | None:
        """Of an adapter, what it is on top of."""
        return adapter_origin(self.recipe, self.parents)

    @property
    def _pauses(self) -> tuple[int, ...]:
        """What is played needs all that came before, too."""
        return (*super()._pauses, self.recipe.run.play_every)

    def _play(self, step: int, log: MetricsLog | None) -> None:
        """Sounds and pictures of fixed prompts, when it is time."""
        rules = self.recipe.run
        if self.validation is None or not rules.played:
            return
        if step % rules.play_every == 0 or step == rules.steps:
            with validation_batches(self.learner, self.validation, 1) as loader:
                sounds = preview(self.learner, next(loader), rules.played, self.survey.latent_range)
            if log:
                log.preview(step, sounds)


def _start_line(start: RunStart, recipe: TrainRecipe, world: World) -> str:
    data, samples = recipe.data, sum(len(corpus) for corpus in start.corpora)
    what = "latents" if start.survey.latents else "audio, encoded as it is read"
    return (
        f"{samples} samples of {len(start.corpora)} corpora ({what}) · {recipe.run.steps} steps "
        f"of {data.batch} samples of {data.seconds:g} s, "
        f"{recipe.run.steps * data.batch / samples:.3g} epochs · "
        f"{world.ranks} × {world.device.type}, {recipe.run.precision}"
    )
