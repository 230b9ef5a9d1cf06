"""The steps of a training, from wherever it is to its last checkpoint, whatever it trains.

Which sample comes when, its noise, its window: all depend on the seed and the step. So a run that
was killed and resumed is, on a CPU, the same to the bit as one that was not.
"""

import importlib.metadata
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, Generic, NamedTuple, TypeVar

import torch

from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.storage.lock import Lock, hold
from pipelines.storage.store import Store
from schemas.record import Record
from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.data.order import ORDER_VERSION
from training.errors import BadData, TrainingError
from training.run import checkpoints
from training.run.checkpoints import CORPUS, RECIPE, STATE, Checkpoint
from training.run.learner import LaunchedStep, Learner, OnDevice
from training.run.metrics_log import MetricsLog, ReportLine
from training.run.parallel import World, joined
from training.run.prefetch import Prefetcher
from training.run.recipe import LearningRecipe
from training.run.run_state import Parent, RunState
from training.run.step_figures import LostSteps, StepFigures
from training.run.stop_signals import stop_signals
from training.run.throughput import Clock
from training.run.validation import validation_loss
from training.run.writing import CheckpointWriter, checkpoint_writer

_NAMED: Final = 5  # unusable samples that are named, of however many

R = TypeVar("R", bound=OnDevice)


class Trained(NamedTuple):
    """How a run ended."""

    step: int
    stopped: bool  # by a signal: there is more to do
    checkpoint: str


class RunFolder(NamedTuple):
    """One process's hold on the folder of a run."""

    store: Store
    world: World
    report: ReportLine  # of the first process alone
    lock: Lock | None  # likewise


def run_in_folder(
    out: str,
    device: str,
    report: ReportLine,
    *,
    before: Callable[[], object],
    go: Callable[[RunFolder, Callable[[], bool]], Trained],
    at_end: Callable[[], object],
) -> Trained:
    """Run in a local folder that is this run's alone for as long as it lasts.

    The first process calls `before` when there may be no folder yet, and `at_end` once all steps
    are done, while the others wait. `go` is called in all, with what says whether to stop. Raises
    `TrainingError` for a folder that is not local.
    """
    store = Store(out)
    if not store.is_local:
        raise TrainingError(
            f"{store.url}: a run is written to a local folder, "
            "such as a mounted disk; shards may be remote"
        )
    with joined(device) as world, stop_signals() as stop, ExitStack() as held:
        world.broadcast(before)
        locks: list[Lock] = []  # of the first process alone
        world.broadcast(lambda: locks.append(held.enter_context(hold(store, "training"))))
        lock = locks[0] if locks else None
        made = go(RunFolder(store, world, report if world.is_first else _silent, lock), stop)
        if world.is_first and not made.stopped:
            at_end()
        world.wait()
        return made


class StepLoop(ABC, Generic[R]):
    """One process's part of a run: R is a micro-batch on its device.

    Who makes one calls `_begin` with what it has found before any step is taken.
    """

    def __init__(self, recipe: LearningRecipe, folder: RunFolder) -> None:
        self.recipe, self.folder = recipe, folder
        self.store, self.world, self.report = folder.store, folder.world, folder.report
        self.parents: tuple[Parent, ...] = ()

    def _begin(
        self,
        learner: Learner[R],
        samples: Samples,
        *,
        validation: Samples | None,
        corpus: Record,
        last: str,
        damaged: Sequence[str],
        start_line: str,
    ) -> None:
        """What learns, and from what; `last` is the checkpoint's folder to go on from, if any."""
        self.learner, self.samples, self.validation = learner, samples, validation
        self._corpus, self.damaged = corpus, set(damaged)
        if not last:
            self.report(start_line)
        state = self._resumed(Checkpoint(self.store, last)) if last else RunState(step=0)
        self.first_step, self.unusable = state.step, state.unusable
        self.lost = LostSteps(self.recipe.run.skipped_losses, state.skipped)
        # why samples of this process could not be used, of the first few
        self.reasons: list[str] = []
        self.world.wait()  # nobody writes a checkpoint while another still reads the last one

    def _clock(self) -> Clock:
        """What measures the pace."""
        return Clock(self.recipe.run, self.world)

    @property
    @abstractmethod
    def _less_memory(self) -> str:
        """What to do where samples do not fit in memory at once."""

    @property
    def _metadata(self) -> dict[str, str] | None:
        """What files of weights say of themselves."""
        return None

    def _play(self, step: int, log: MetricsLog | None) -> None:
        """Put what is played so far into the log, where that is to be heard."""

    def go(self, stop: Callable[[], bool]) -> Trained:
        """All steps that are left, or up to a stop signal."""
        rules, step = self.recipe.run, self.first_step
        if step >= rules.steps:
            self.report(f"all {rules.steps} steps are done")
            return Trained(step, False, f"{self.store.url}/{checkpoints.folder_of(step)}")
        clock = self._clock()
        with self._loader() as loader, self._metrics_log() as log, self._writer() as writer:
            ready = Prefetcher(self.learner.ready, self.world.device).of(clock.counted(loader))
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
        return self._is_logged(step) or any(step % each == 0 for each in self._pauses)

    @property
    def _pauses(self) -> tuple[int, ...]:
        """Steps between what has to know all that came before, beside the log."""
        return (self.recipe.run.validate_every, self.recipe.run.checkpoint_every)

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
            figures = self.learner.figures(one)
            clock.stepped(figures.samples)
            if not figures.is_sound:
                self.report(self.lost.add(one.step + 1, self.learner.fault(one, figures)))
            self._count(figures, one.batches, one.step + 1)
        return figures

    def _launched(self, micro_batches: Sequence[R], step: int, stopping: bool) -> LaunchedStep:
        try:
            return self.learner.step(micro_batches, step, stopping=stopping)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"{self.recipe.data.micro_batch} samples do not fit in memory at once: "
                f"{self._less_memory}. The run goes on from its last checkpoint"
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

    def _resumed(self, last: Checkpoint) -> RunState:
        """The step to go on with, and what was counted before it."""
        self.learner.restore(last)
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
            loss = validation_loss(self.learner, self.validation, self.recipe.data.validation)
            if log:
                log.validation(step, loss)
        self._play(step, log)

    def _writer(self) -> AbstractContextManager[CheckpointWriter]:
        return checkpoint_writer(self.store, self.world, self.recipe.run, self.damaged)

    def _save(self, step: int, writer: CheckpointWriter) -> None:
        if self.folder.lock is not None:
            self.folder.lock.renew()
            self.folder.lock.check()  # a machine that slept, or was cut off, may have lost its turn
        documents = {
            RECIPE: self.recipe.model_dump(mode="json"),
            CORPUS: self._corpus.model_dump(mode="json"),
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
        writer.save(self.learner, step, documents, self._metadata)


def _versions() -> dict[str, str]:
    return {"torch": torch.__version__, "obbligato": importlib.metadata.version("obbligato")}


def _silent(_: str) -> None:
    """What the other processes report: nothing."""
