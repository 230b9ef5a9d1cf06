"""A pipeline that is run to its end, or cancelled where whoever runs it is stopped.

Workers stop by themselves, too: none begins a bucket once the run's lock is gone, whatever a
runner's cancelling is worth.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from apache_beam.runners.runner import PipelineState

from pipelines.errors import PipelineError

_ENDS_WITHIN_S: Final = 60.0  # a job that was cancelled
_LOOK_EVERY_S: Final = 0.2


def finish(pipeline: Any) -> None:
    """Run a pipeline and wait for its end.

    SIGINT and SIGTERM cancel its job and wait for the end of that. Raises `PipelineError` where it
    does not end, and what its runner raises.
    """
    with _terminated_as_interrupted():
        result = pipeline.run()
        try:
            result.wait_until_finish()
        except KeyboardInterrupt as stopped:
            _cancel(result, stopped)
            raise


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


def _cancel(result: Any, stopped: BaseException) -> None:
    """Cancel a job and wait until it has ended. Raises `PipelineError` where it does not."""
    job, why = getattr(result, "_job_id", "") or "this build's job", "it still runs"
    try:
        result.cancel()
        deadline = time.monotonic() + _ENDS_WITHIN_S
        while time.monotonic() < deadline:
            if PipelineState.is_terminal(result.state):
                return
            time.sleep(_LOOK_EVERY_S)
    except Exception as error:  # noqa: BLE001  whatever a runner raises
        why = str(error).partition("\n")[0] or type(error).__name__
    raise PipelineError(
        f"{job} could not be cancelled ({why}): end it by its runner's own page or command. "
        "Its workers begin no other bucket, and what is finished is kept"
    ) from stopped
