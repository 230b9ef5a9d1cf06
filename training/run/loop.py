"""A training run, from its recipe to its last checkpoint.

The same call again goes on where the last one stopped.

Which sample comes when, its prompt, its noise: all depend on the seed and the step. So a run that
was killed and resumed is, on a CPU, the same to the bit as one that was not.
"""

import importlib.metadata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, NamedTuple

import torch

from pipelines.codecs import open_codec
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.errors import PipelineError
from pipelines.shards.find import find_shards
from pipelines.storage.lock import Lock, hold
from pipelines.storage.store import Store
from pipelines.trust.trusted import trust
from training.data.examples import ReadingRules
from training.data.index import CorpusIndex
from training.data.level_curves import check_level_curves
from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.data.order import ORDER_VERSION, SampleOrder
from training.diffusion.text_encoder import TextCache, open_text_encoder
from training.distillation.config import DRAWS, JumpStarts
from training.errors import BadData, TrainingError
from training.run import checkpoints
from training.run.checkpoints import CORPUS, RECIPE, STATE, Checkpoint
from training.run.fit import check_fit, shared
from training.run.lost_steps import LostSteps
from training.run.metrics_log import MetricsLog, ReportLine
from training.run.parallel import World, joined
from training.run.prefetch import Prefetcher, ReadyBatch
from training.run.recipe import TrainRecipe, foreign_names
from training.run.resume import RunStart, run_start
from training.run.run_state import RunState
from training.run.step_figures import StepFigures
from training.run.stop_signals import stop_signals
from training.run.throughput import Clock
from training.run.trainer import LaunchedStep, Trainer
from training.run.validation import preview, validation_batches, validation_loss
from training.run.warm_start import adapter_origin, parent_weights, teacher_of
from training.run.writing import CheckpointWriter, checkpoint_writer

_NAMED: Final = 5  # unusable samples that are named, of however many


class Trained(NamedTuple):
    """How a run ended."""

    step: int
    stopped: bool  # by a signal: there is more to do
    checkpoint: str


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
    store = Store(out)
    if not store.is_local:
        raise TrainingError(
            f"{store.url}: a run is written to a local folder, "
            "such as a mounted disk; shards may be remote"
        )
    with joined(recipe.run.device) as world, stop_signals() as stop, ExitStack() as held:
        world.broadcast(lambda: _look_for_shards(recipe))  # before there is a folder
        if world.is_first:
            _remember(recipe, out, report)
        locks: list[Lock] = []  # of the first process alone
        world.broadcast(lambda: locks.append(held.enter_context(hold(store, "training"))))
        made = _TrainingRun(recipe, store, world, report, *locks).go(stop)
        if world.is_first and not made.stopped:
            at_end()
        world.wait()
        return made


def _look_for_shards(recipe: TrainRecipe) -> None:
    """Raise `TrainingError` for a target that is not there, or has no shard."""
    for target in recipe.data.shards:
        try:
            find_shards(target)
        except PipelineError as error:
            raise TrainingError(str(error)) from error


def _remember(recipe: TrainRecipe, out: str, report: ReportLine) -> None:
    """Note what the recipe names that was handed over for this run, so that its model may be played
    here; a job's node may not keep it.
    """
    try:
        trust(out, foreign_names(recipe.text, recipe.codec))
    except PipelineError as error:
        report(f"playing this model here will ask again: {error}")


class _TrainingRun:
    """One process's part of a run."""

    def __init__(
        self,
        recipe: TrainRecipe,
        store: Store,
        world: World,
        report: ReportLine,
        lock: Lock | None = None,
    ) -> None:
        recipe = shared(recipe, world)
        self.recipe, self.store, self.world, self.lock = recipe, store, world, lock
        self.report: ReportLine = report if world.is_first else _silent
        codec = open_codec(recipe.codec.name, recipe.codec.source, str(world.device))
        encoder = open_text_encoder(
            recipe.text.source, str(world.device), recipe.text.max_tokens, recipe.text.encoder
        )
        check_fit(recipe, codec, encoder.width)
        start = world.broadcast(lambda: run_start(recipe, store, codec))
        self.survey, self.damaged = start.survey, set(start.damaged)
        check_level_curves(recipe.data.level_curves, codec.facts, reads_latents=self.survey.latents)
        self.parents = start.parents
        begun = parent_weights(start.parents[-1]) if start.reads_parent else None
        cache = TextCache(encoder, recipe.text.cache_mb)
        teacher = None
        if begun is not None and recipe.model.jumps:
            teacher = teacher_of(start.parents[-1], begun, recipe.distil)
        self.trainer = Trainer(recipe, codec, cache, world, begun, teacher)
        self.samples = self._samples(start.corpora, full_conditioning=False)
        self.validation = (
            self._samples(start.validation, full_conditioning=True) if start.validation else None
        )
        for note in start.notes:
            self.report(note)
        state = self._resumed(Checkpoint(store, start.last)) if start.last else self._begun(start)
        self.first_step, self.unusable = state.step, state.unusable
        self.lost = LostSteps(recipe.run.skipped_losses, state.skipped)
        # why samples of this process could not be used, of the first few
        self.reasons: list[str] = []
        world.wait()  # nobody writes a checkpoint while another still reads the last one

    def go(self, stop: Callable[[], bool]) -> Trained:
        """All steps that are left, or up to a stop signal."""
        rules, step = self.recipe.run, self.first_step
        if step >= rules.steps:
            self.report(f"all {rules.steps} steps are done")
            return Trained(step, False, f"{self.store.url}/{checkpoints.folder_of(step)}")
        clock = Clock(self.recipe, self.world, self.trainer.shape)
        with self._loader() as loader, self._metrics_log() as log, self._writer() as writer:
            ready = Prefetcher(self.trainer.ready, self.world.device).of(clock.counted(loader))
            launched: deque[LaunchedStep] = deque()  # that nobody has looked at yet
            while step < rules.steps:
                micro_batches = [next(ready) for _ in range(self.share.parts)]
                launched.append(self._launched(micro_batches, step, stop()))
                step += 1
                writer.look()
                # A device that works on by itself is a step ahead: its figures are read then.
                leave = int(self.world.runs_behind and not self._is_due(step))
                figures = self._settled(launched, clock, leave)
                stopping = self._is_stopping(figures, stop)
                if stopping:
                    figures = self._settled(launched, clock, 0) or figures
                if log and figures and figures.is_sound and self._is_logged(step):
                    log.step(step, figures, clock.lap(step))
                with clock.paused():
                    self._validate(step, log, stopping and step < rules.steps)
                    if stopping or step == rules.steps or step % rules.checkpoint_every == 0:
                        self._save(step, writer)
                if stopping:
                    break
        if self.unusable:
            self.report(
                f"{self.unusable} samples could not be used"
                + "".join(f"\n  {reason}" for reason in self.reasons)
            )
        return Trained(step, step < rules.steps, f"{self.store.url}/{checkpoints.folder_of(step)}")

    def _is_logged(self, step: int) -> bool:
        return step % self.recipe.run.log_every == 0 or step == self.recipe.run.steps

    def _is_due(self, step: int) -> bool:
        """Whether all that came before a step has to be known: it is told, looked at or kept."""
        rules = self.recipe.run
        every = (rules.validate_every, rules.play_every, rules.checkpoint_every)
        return self._is_logged(step) or any(step % each == 0 for each in every)

    def _is_stopping(self, figures: StepFigures | None, stop: Callable[[], bool]) -> bool:
        """Whether a stop signal has come, to whichever process."""
        return stop() if self.world.ranks == 1 else figures is not None and figures.stopping

    def _settled(
        self, launched: deque[LaunchedStep], clock: Clock, leave: int
    ) -> StepFigures | None:
        """Look at steps, oldest first, until so many are left: the figures of the last one."""
        figures = None
        while len(launched) > leave:
            one = launched.popleft()
            figures = self.trainer.figures(one)
            clock.stepped(figures.samples)
            if not figures.is_sound:
                self.report(self.lost.add(one.step + 1, self.trainer.fault(one, figures)))
            self._count(figures, one.batches, one.step + 1)
        return figures

    def _launched(
        self, micro_batches: Sequence[ReadyBatch], step: int, stopping: bool
    ) -> LaunchedStep:
        try:
            return self.trainer.step(micro_batches, step, stopping=stopping)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"{self.recipe.data.micro_batch} samples do not fit in memory at once: "
                "lower data.micro_batch, or set run.checkpointing=true. "
                "The run goes on from its last checkpoint"
            ) from error

    @contextmanager
    def _metrics_log(self) -> Iterator[MetricsLog | None]:
        if not self.world.is_first:
            yield None
            return
        log = MetricsLog(self.store, self.report, done=self.first_step, wandb=self.recipe.run.wandb)
        try:
            yield log
        finally:
            log.close()

    @property
    def share(self) -> BatchShare:
        """This process's share of each step."""
        return BatchShare(
            self.recipe.data.batch, self.recipe.data.micro_batch, self.world.rank, self.world.ranks
        )

    def _loader(self) -> AbstractContextManager[Iterator[TrainingBatch]]:
        return batches(
            self.samples,
            self.share,
            first_step=self.first_step,
            last_step=self.recipe.run.steps,
            workers=self.recipe.data.workers,
            pinned=self.world.device.type == "cuda",
        )

    def _samples(self, corpora: list[CorpusIndex], *, full_conditioning: bool) -> Samples:
        rules = self.recipe
        weights = () if full_conditioning else rules.data.weights
        order = SampleOrder(
            [len(corpus) for corpus in corpora], weights=weights, seed=rules.run.seed
        )
        reading = ReadingRules(
            facts=self.trainer.codec.facts,
            reads_latents=self.survey.latents,
            frames=self.trainer.shape[1],
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
        )
        return Samples(corpora, order, reading, full_conditioning=full_conditioning)

    def _begun(self, start: RunStart) -> RunState:
        self.report(_start_line(start, self.recipe, self.world))
        return RunState(step=0)

    def _resumed(self, last: Checkpoint) -> RunState:
        """The step to go on with, and what was counted before it."""
        self.trainer.restore(last)
        state = last.state()
        self.report(f"going on from step {state.step} ({last.name})")
        return state

    def _count(
        self, figures: StepFigures, micro_batches: Sequence[TrainingBatch], step: int
    ) -> None:
        self.unusable += figures.unusable
        self.reasons += [
            f"{one.key}: {one.reason}" for batch in micro_batches for one in batch.unusable
        ]
        del self.reasons[_NAMED:]
        samples = step * self.recipe.data.batch
        if self.unusable > max(self.recipe.data.batch, self.recipe.data.unusable * samples):
            raise BadData(
                f"{self.unusable} of {samples} samples were unusable (limit "
                f"{self.recipe.data.unusable:.1%}), such as "
                f"{'; '.join(self.world.gathered(self.reasons)[:_NAMED])}. `obbligato shards "
                "verify` says what is wrong with the shards; "
                "if nothing is, run again once they can be read; data.unusable raises the limit"
            )

    def _validate(self, step: int, log: MetricsLog | None, stopping: bool) -> None:
        """Validation and sounds, when it is time; not while a machine waits for us to go."""
        rules = self.recipe.run
        if self.validation is None or stopping:
            return
        if step % rules.validate_every == 0 or step == rules.steps:
            loss = validation_loss(self.trainer, self.validation, self.recipe.data.validation)
            if log:
                log.validation(step, loss)
        if rules.played and (step % rules.play_every == 0 or step == rules.steps):
            with validation_batches(self.trainer, self.validation, 1) as loader:
                sounds = preview(self.trainer, next(loader), rules.played, self.survey.latent_range)
            if log:
                log.preview(step, sounds)

    def _writer(self) -> AbstractContextManager[CheckpointWriter]:
        return checkpoint_writer(self.store, self.world, self.recipe.run, self.damaged)

    def _save(self, step: int, writer: CheckpointWriter) -> None:
        if self.lock is not None:
            self.lock.renew()
            self.lock.check()  # a machine that slept, or was cut off, may have lost its turn
        documents = {
            RECIPE: self.recipe.model_dump(mode="json"),
            CORPUS: self.survey.model_dump(mode="json"),
            STATE: {
                "step": step,
                "samples": step * self.recipe.data.batch,
                "unusable": self.unusable,
                "parents": [one.model_dump(mode="json") for one in self.parents],
                "skipped": self.lost.count,
                "order": ORDER_VERSION,
                **_versions(),
            },
        }
        metadata = adapter_origin(self.recipe, self.parents)
        writer.save(self.trainer, step, documents, metadata)


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "obbligato": importlib.metadata.version("obbligato")}


def _silent(_: str) -> None:
    """What the other processes report: nothing."""


def _start_line(start: RunStart, recipe: TrainRecipe, world: World) -> str:
    samples = sum(len(corpus) for corpus in start.corpora)
    what = "latents" if start.survey.latents else "audio, encoded as it is read"
    return (
        f"{samples} samples of {len(start.corpora)} corpora ({what}) · {recipe.run.steps} steps "
        f"of {recipe.data.batch} samples, {recipe.run.steps * recipe.data.batch / samples:.3g} "
        f"epochs · {world.ranks} × {world.device.type}, {recipe.run.precision}"
    )
