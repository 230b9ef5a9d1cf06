"""A job that is submitted and waited for: again where its workers were lost, cancelled where
whoever runs it is stopped.

Workers stop by themselves, too: none begins a bucket once the run's lock is gone, whatever a
runner's cancelling is worth.
"""

import _thread
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

from apache_beam.runners.runner import PipelineState

from pipelines.beam import LOG
from pipelines.beam.at_work import SILENT_S, Silence
from pipelines.beam.failures import ClusterUnready, WorkersLost
from pipelines.beam.flink import Flink
from pipelines.beam.left_job import ENDS_WITHIN_S, OWN_NAME, LeftJob, StillRuns
from pipelines.errors import PipelineError

AGAIN_AFTER_S: Final = (2.0, 10.0, 30.0)  # between the tries of a job: a machine may come back
_LOOK_EVERY_S: Final = 0.2
_SILENT: Final = (
    f"no worker has been at work for {SILENT_S:.0f} s, and the job has not ended; what is finished "
    "is kept"
)


def resubmitted(
    submit: Callable[[], None], waits_s: Sequence[float] = AGAIN_AFTER_S
) -> tuple[str, ...]:
    """Submit a job, and again where its workers were lost, as often as there are waits; what is
    finished by then is not done again. Where they were, the cluster gets this time to be ready
    again. Returns what was lost on the way.

    Raises `WorkersLost` where the last try lost them too, and what `submit` raises.
    """
    lost: list[str] = []
    for wait_s in waits_s:
        try:
            submit()
        except WorkersLost as error:
            lost.append(error.what)
            LOG.warning("%s; submitted again in %g s", error.what, wait_s)
            time.sleep(wait_s)
        except ClusterUnready as error:
            if not lost:
                raise
            LOG.warning("%s; asked again in %g s", error, wait_s)
            time.sleep(wait_s)
        else:
            return tuple(lost)
    submit()
    return tuple(lost)


def finish(
    pipeline: Any, noted: Callable[[str], AbstractContextManager[LeftJob]], silence: Silence | None
) -> None:
    """Run a pipeline and wait for its end; `noted` is told its job's id, and writes it down as long
    as it runs.

    SIGINT and SIGTERM cancel its job and wait for the end of that, and so does the silence of its
    workers, where they give signs. Raises `WorkersLost` there, `StillRuns` where the job does
    not end, and what its runner raises.
    """
    with _terminated_as_interrupted(), _quiet_watchers():
        result = pipeline.run()
        with noted(str(getattr(result, "_job_id", ""))) as job:
            try:
                with silence.awaited(_interrupt) if silence else nullcontext():
                    result.wait_until_finish()
            except KeyboardInterrupt as stopped:
                _cancel(result, job, stopped)
                if silence and silence.fell:
                    raise WorkersLost(_SILENT) from stopped
                raise


def _interrupt() -> None:
    """Wake the main thread as SIGTERM would: it may wait for ever within Beam."""
    _thread.interrupt_main(signal.SIGTERM)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM is what Ctrl-C is within the block, where this thread is told of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _quiet_watchers() -> Iterator[None]:
    """Beam's own thread that reads a job's messages dies with a stack trace where the job server
    does, which the caller's thread is told of as well.
    """
    before = threading.excepthook

    def told(died: threading.ExceptHookArgs) -> None:
        if died.thread is None or not died.thread.name.startswith("wait_until_finish"):
            before(died)

    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before


def _cancel(result: Any, job: LeftJob, stopped: BaseException) -> None:
    """Cancel a job and wait until it has ended. Raises `StillRuns` where it does not."""
    why = "it still runs"
    try:
        result.cancel()
        deadline = time.monotonic() + ENDS_WITHIN_S
        while not (ended := PipelineState.is_terminal(result.state)):
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_EVERY_S)
    except Exception as error:  # noqa: BLE001  whatever a runner raises
        ended, why = False, str(error).partition("\n")[0] or type(error).__name__
    if _ended_on_cluster(job, ended):
        return
    raise StillRuns(
        f"{job} could not be cancelled ({why}): end it by its runner's own page or command. "
        "Its workers begin no other bucket, and what is finished is kept"
    ) from stopped


def _ended_on_cluster(job: LeftJob, ended: bool) -> bool:
    """Whether a job has ended, as its cluster says, else as Beam does: Flink may run on where Beam
    has cancelled, and where Beam could not its job server may just be gone.
    """
    if not job.flink or not OWN_NAME.fullmatch(job.name):
        return ended
    try:
        return Flink(job.flink).end(job.name, ENDS_WITHIN_S)
    except PipelineError:
        return ended
