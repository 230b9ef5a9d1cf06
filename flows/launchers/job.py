"""What is launched, what comes back, and what every launcher offers."""

import hashlib
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple, Protocol

from pydantic import Field

from flows.errors import UsageError
from pipelines.engine.child_process import module_command
from schemas.record import Record

# EX_TEMPFAIL, from a run that was stopped with a checkpoint: the same command goes on
REQUEUE: Final = 75
TERMINATED: Final = 143  # a shell's status of what SIGTERM has ended
# and by SIGTERM, before it could write one: what ended it came from outside all the same
STOPPED: Final = (REQUEUE, TERMINATED)
# tells a run that a scheduler started it, which may have killed another in its place
LAUNCHED: Final = "OBBLIGATO_LAUNCHED"
_SLOW_DISK: Final = 200_000_000  # bytes a second, hashed on their way
PORT: Final = 29_500  # torch's own choice; between machines, where a free one cannot be agreed on
ReportLine = Callable[[str], None]
Count = Annotated[int, Field(ge=1)]


class TrainJob(Record):
    """A command of ours, and by how many processes it is run."""

    arguments: tuple[str, ...]  # of `obbligato`
    out: str  # the run's folder, as the machines that train see it
    processes: Count = 1  # on each node; on GPUs, one for each
    nodes: Count = 1
    # how often it may go on after a stop that nobody here asked for
    requeues: Annotated[int, Field(ge=0)] = 10
    module: str = "flows.cli"
    checkpoint_bytes: Annotated[int, Field(ge=0)] = 0  # of what a stop has to write; 0: not known

    @property
    def checkpoint_s(self) -> int:
        """Seconds that a stopped run needs for its checkpoint, on a slow disk.

        >>> TrainJob(arguments=("train",), out="/m", checkpoint_bytes=22_700_000_000).checkpoint_s
        124
        """
        return 10 + -(-self.checkpoint_bytes // _SLOW_DISK)

    @property
    def ranks(self) -> int:
        """Processes in all."""
        return self.processes * self.nodes

    @property
    def name(self) -> str:
        """A name for schedulers: lower-case letters, digits and dashes; another for each folder.

        >>> TrainJob(arguments=("train",), out="/data/My model").name
        'train-my-model-27587f'
        """
        folder = (
            re.sub(r"[^a-z0-9]+", "-", os.path.basename(self.out.rstrip("/")).lower())
            .strip("-")[:30]
            .strip("-")
        )
        return "-".join(
            part
            for part in ("train", folder, hashlib.sha256(self.out.encode()).hexdigest()[:6])
            if part
        )

    def command(self, python: str = sys.executable) -> tuple[str, ...]:
        """The command of each process, on machines where Python is there.

        It runs modules that are installed, never those of a working folder.
        """
        return tuple(module_command(self.module, *self.arguments, python=python))


class Handle(NamedTuple):
    """A job that was submitted."""

    name: str  # process id, Slurm's job id, or the Kubernetes Job
    log: str = ""  # file that its output goes to, where there is one


class JobEnd(NamedTuple):
    """How a job ended.

    `requeue`: it was stopped from outside and has more to do, and submitting it again goes on.
    """

    status: int
    requeue: bool = False
    log: str = ""  # file that says why, where there is one


class Launcher(Protocol):
    """A place where training runs."""

    def check(self, job: TrainJob) -> None:
        """Raises `UsageError` for what a job lacks before it is submitted, with what to write."""

    def find(self, job: TrainJob, report: ReportLine) -> Handle | None:
        """The job of the same folder that is at work or in the queue: its follower may have gone.

        One that is ending is waited for.
        """

    def submit(self, job: TrainJob) -> Handle:
        """Start a job, or hand it to a scheduler.

        Raises `UsageError` where it is refused; whatever is raised, no job is left behind.
        """

    def follow(self, handle: Handle, report: ReportLine) -> JobEnd:
        """Report each line of a job's output as it comes, until the job has ended."""

    def cancel(self, handle: Handle) -> None:
        """End a job, with a checkpoint if it can write one in time.

        Nothing of it runs on when this returns, or soon after.
        """


def launched(launcher: Launcher, job: TrainJob, report: ReportLine) -> JobEnd:
    """Submit a job and follow it to its end; again after a stop from outside, up to its limit.

    Whatever ends the following (Ctrl-C, a cancelled flow) cancels the job. Raises `UsageError`
    where the job cannot be run.
    """
    launcher.check(job)
    for left in range(job.requeues, -1, -1):
        ended = followed(launcher, job, report)
        if not ended.requeue or not left:
            return ended
        report(f"stopped from outside with more to do: submitted again ({left} times left)")
    raise AssertionError("a job is submitted at least once")


def followed(launcher: Launcher, job: TrainJob, report: ReportLine) -> JobEnd:
    """Submit a job, or find it, and follow it to its end.

    What breaks that off cancels it, but for a scheduler that is out of reach.
    """
    handle = None
    try:
        handle = launcher.find(job, report) or launcher.submit(job)
        return launcher.follow(handle, report)
    except UsageError:
        raise
    except BaseException:
        if handle is not None:
            launcher.cancel(handle)
        raise


def digest(work: str) -> str:
    """A short name for what a job was asked to do."""
    return hashlib.sha256(work.encode()).hexdigest()[:12]


def report_standing(report: ReportLine, what: str, *, submitted: str, requested: str) -> None:
    """Report that a job is at work already, and whether it was `submitted` to do something else.

    `submitted` is empty where that is not known.
    """
    report(f"{what} is at work in this folder already: it is followed, and nothing is submitted")
    if submitted and submitted != requested:
        report(
            f"{what} was submitted with other options, or by another version, and goes on with "
            "those. To change them: stop this command, which cancels the job, and give it again"
        )
