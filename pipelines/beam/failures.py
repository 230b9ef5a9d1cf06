"""What runners say when a job fails, in one line for the reader: what has happened, where, what was
kept, what to do.

Their words are whole stack traces, one inside another. In the table below are those that Beam's
Python job service and Prism gave as they were broken on purpose, and those that were noted of Flink
1.18 and Spark 3.5; other versions may choose others, which are then told as they are.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import grpc

from pipelines.beam.options import Engine, option
from pipelines.errors import PipelineError, TransientError

_OURS: Final = f"{PipelineError.__module__}.{PipelineError.__name__}: "
_RUNNING: Final = re.compile(r" \[while running '[^']*'\]")  # added by Beam: its own transform
_KEPT: Final = "what is finished is kept: run again"


class WorkersLost(TransientError):
    """Workers of a job are gone, or what they ran on; the same job may be submitted again.

    `what` says which job, what happened, and what was kept.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: run again")
        self.what = what


class ClusterUnready(TransientError):
    """A cluster does not answer, or has no machines: to a first job that is the user's to mend, to
    one that has lost its workers just now it may pass.
    """


class _Meaning(NamedTuple):
    """What a runner's words mean; `lost` where workers are gone and others may do their work."""

    words: re.Pattern[str]
    said: str  # {pool} is the worker pools' address, {server} the job server's; others are of words
    lost: bool = False


_MEANINGS: Final = (
    _Meaning(
        re.compile(r"Only one SparkContext should be running"),
        "another build still runs on the job server at {server}: wait for its end, or end it on "
        "Spark's page and start the job server anew; each build wants a job server of its own",
    ),
    _Meaning(
        re.compile(
            r"NoResourceAvailableException|Slot request bulk is not fulfillable|"
            r"TimeoutException: Timeout has occurred: \d+ ms|TimeoutException: .*300000 ms"
        ),
        "the cluster had no free slots for it in time: end other jobs, add task managers, or ask "
        f"for fewer with --beam parallelism=…; {_KEPT}",
    ),
    _Meaning(
        re.compile(r"finishConnect\(\.\.\) failed: Connection refused|UNAVAILABLE: io exception"),
        "no worker pool answers at {pool} on a machine that was to work: start one on each, by "
        f"python -m pipelines.beam.worker_pool; {_KEPT}",
    ),
    _Meaning(
        re.compile(r"Insufficient number of network buffers: required \d+, but only \d+ available"),
        "Flink's task managers have too few network buffers for their slots: set "
        "taskmanager.network.sort-shuffle.min-buffers to 64, as infra/flink does, or raise "
        f"taskmanager.memory.network.max; {_KEPT}",
    ),
    _Meaning(
        re.compile(
            r"RemoteTransportException|TaskManager with id \S+ (is no longer reachable|timed out)|"
            r"[Hh]eartbeat of TaskManager|ExecutorLostFailure|Job aborted due to stage failure: "
            r".*[Ee]xecutor|TaskExecutor .* (is shutting down|has no more allocated slots)"
        ),
        "a machine of the cluster has died, or lost its connection; what it has finished is kept",
        lost=True,
    ),
    _Meaning(
        re.compile(r"excludeOnFailure\.\s+Most recent failure:\s+(?P<why>.+)"),
        "a task failed on each machine that it was tried on, at last: {why}; what is finished is "
        "kept: mend that, and run again",
    ),
    _Meaning(
        re.compile(r"FlinkJobNotFoundException"),
        "Flink's job manager has started anew and knows nothing of the job; what was finished is "
        "kept",
        lost=True,
    ),
    _Meaning(
        re.compile(
            r"Channel closed prematurely|CANCELLED: client cancelled|CANCELLED: call already "
            r"cancelled|Connection reset by peer|SDK (worker|[Hh]arness) (was )?disconnected"
        ),
        "a worker has died, or lost its connection; what it has finished is kept",
        lost=True,
    ),
)


def failure(error: BaseException, stages: str, engine: Engine) -> PipelineError:
    """What a job's error means: ours as it is, else what the table says, else its own first cause.

    `stages` names what the job was to do.
    """
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, PipelineError):
            return PipelineError(str(inner))
        inner = inner.__cause__ or inner.__context__
    server = option(engine, "job_endpoint") or "the job server"
    if isinstance(error, grpc.Call):
        return PipelineError(
            f"{stages} failed: the job server at {server} is gone or does not answer "
            f"({error.details()}); what is finished is kept: start it, and run again"
        )
    message = str(error) or type(error).__name__
    cause = first_cause(message)
    if cause.startswith(_OURS):  # a worker's, which names its stage and bucket
        return PipelineError(_RUNNING.sub("", cause.removeprefix(_OURS)))
    meant = _meant((cause, message))
    if meant is None:
        return PipelineError(f"{stages} failed: {cause}")
    meaning, words = meant
    pool = option(engine, "environment_config") or "the address of environment_config"
    told = meaning.said.format(pool=pool, server=server, **words.groupdict())
    kind = WorkersLost if meaning.lost else PipelineError
    return kind(f"{stages} failed: {told}")


def _meant(texts: Sequence[str]) -> tuple[_Meaning, re.Match[str]] | None:
    """The first meaning that is known, of the cause before that of all else that is said, and the
    words that it was known by.
    """
    found = (
        (meaning, words)
        for text in texts
        for meaning in _MEANINGS
        if (words := meaning.words.search(text))
    )
    return next(found, None)


def first_cause(message: str) -> str:
    """The one line of a runner's message that says what went wrong.

    >>> trace = "Traceback (most recent call last):\\n  File 'a.py', line 1\\n    go()"
    >>> first_cause(f"{trace}\\nKeyError: 'C'\\n\\tat org.apache…")
    "KeyError: 'C'"
    """
    lines = message.strip().splitlines() or [""]
    last_frame = max(
        (number for number, line in enumerate(lines) if line.startswith("  File ")), default=-1
    )
    if last_frame >= 0:
        after = lines[last_frame + 1 :]
        return next((line for line in after if line and not line[0].isspace()), lines[0])
    causes = [line for line in lines if line.startswith("Caused by: ")]
    return causes[-1].removeprefix("Caused by: ") if causes else lines[0]
