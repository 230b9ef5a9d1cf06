"""Training on a Slurm cluster: a batch script (slurm_script.py), and Slurm's own commands.

submitit (1.5) is not used: it ships a pickled call, takes SIGTERM for itself, and requeues from a
signal handler before it can know whether a checkpoint was written.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from flows.errors import UsageError
from flows.launchers.job import (
    REQUEUE,
    TERMINATED,
    Handle,
    JobEnd,
    ReportLine,
    TrainJob,
    digest,
    report_standing,
)
from flows.launchers.programs import SchedulerRefusal, answer, called, failure, patient, require
from flows.launchers.slurm_script import SlurmSettings, batch_script

__all__ = ("SlurmLauncher", "SlurmSettings", "batch_script")

_NEEDED: Final = (
    "the slurm launcher needs Slurm's commands on this machine, such as a cluster's login node"
)
# ends that are not the fault of the job, on clusters that do not requeue
_NODE_LOST: Final = {"PREEMPTED", "NODE_FAIL", "TIMEOUT", "BOOT_FAIL"}
_OVER: Final = {"COMPLETED", "FAILED", "CANCELLED", "OUT_OF_MEMORY", "DEADLINE", *_NODE_LOST}
# what is left of a job is ended by its nodes; then it is over, or back in the queue
_ENDING: Final = "COMPLETING"
# much longer than any KillWait: a node that cannot end a process keeps a job like that until
# somebody looks
_ENDING_S: Final = 600.0
_COMMENT: Final = "obbligato "  # a job's comment is this and the digest of its script
_CANCELLED: Final = f"{_COMMENT}cancelled"  # so that nobody follows it any more


class _SlurmState(NamedTuple):
    name: str  # as Slurm calls it
    status: int
    reason: str = ""  # why it waits

    def __str__(self) -> str:
        return (
            f"{self.name.lower()} ({self.reason})"
            if self.name == "PENDING" and self.reason
            else self.name.lower()
        )


class _Queued(NamedTuple):
    number: str
    state: str
    comment: str

    @property
    def is_ending(self) -> bool:
        return self.state == _ENDING or self.comment == _CANCELLED


class SlurmLauncher:
    """Submits jobs by sbatch."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings

    def check(self, job: TrainJob) -> None:
        """Raises `UsageError` where Slurm's commands are missing, or the folder is a URL."""
        if "://" in job.out or "\n" in job.out:
            raise UsageError(
                f"{job.out}: a run on Slurm is written "
                "to a folder that all nodes share, not to a URL"
            )
        require("sbatch", "squeue", "scontrol", "scancel", needed=_NEEDED)

    def find(self, job: TrainJob, report: ReportLine) -> Handle | None:
        """The job of the same folder that is in the queue or runs.

        Raises `UsageError` for one that has been ending for ten minutes.
        """
        deadline, reported = time.monotonic() + _ENDING_S, ""
        while found := patient(partial(self._queued, job.name), self._settings.poll_s, report):
            for one in found:
                if not one.is_ending:
                    submitted = (
                        one.comment.removeprefix(_COMMENT)
                        if one.comment.startswith(_COMMENT)
                        else ""
                    )
                    requested = digest(batch_script(job, self._settings, _log(job)))
                    report_standing(
                        report, f"Slurm job {one.number}", submitted=submitted, requested=requested
                    )
                    return Handle(one.number, _log(job, one.number))
            number = found[0].number
            if time.monotonic() > deadline:
                raise UsageError(
                    f"Slurm job {number} of this folder has been ending "
                    "for ten minutes: ask those who keep the cluster"
                )
            if number != reported:
                report(f"Slurm job {number} of this folder is ending: waited for")
            reported = number
            time.sleep(self._settings.poll_s)
        return None

    def submit(self, job: TrainJob) -> Handle:
        """Submit a job.

        Its output goes to ``slurm/<job id>.log`` in the run's folder, which all nodes must share.
        """
        (Path(job.out) / "slurm").mkdir(parents=True, exist_ok=True)
        script = batch_script(job, self._settings, _log(job))
        try:
            output = answer(
                "sbatch",
                "--parsable",
                f"--comment={_COMMENT}{digest(script)}",
                given=script,
                needed=_NEEDED,
            )
        except BaseException as error:
            self._abandon(job, error)
            raise
        # after it, the cluster's name where there are several
        number = output.split()[0].partition(";")[0]
        return Handle(number, _log(job, number))

    def _abandon(self, job: TrainJob, error: BaseException) -> None:
        """Cancel what a submission that broke off, or whose answer was lost, left in the queue."""
        try:
            for one in self._queued(job.name):
                if not one.is_ending:
                    self.cancel(Handle(one.number))
        except UsageError as second:
            raise UsageError(
                f"{str(error) or repr(error)}; see `squeue --me` "
                f"whether a job {job.name} was submitted: {second}"
            ) from error

    def follow(self, handle: Handle, report: ReportLine) -> JobEnd:
        """Report the job's states, and its log as it grows, through all requeues."""
        log, before = _Tail(Path(handle.log)), ""
        while True:
            state = patient(partial(self._state, handle.name), self._settings.poll_s, report)
            over = state.name in _OVER
            if over:
                # a shared file system may show the end of the log a little late
                time.sleep(self._settings.poll_s)
            for line in log.lines(whole=not over):
                report(line)
            if str(state) != before:
                report(f"Slurm job {handle.name}: {state}")
            if over:
                return _ended(state, handle.log)
            before = str(state)
            time.sleep(self._settings.poll_s)

    def cancel(self, handle: Handle) -> None:
        """Cancel a job, whatever its turn; one that runs has `grace_s` to write its checkpoint.

        scancel alone would leave it no more than the cluster's KillWait, and on some clusters
        nothing: srun kills what it has started.
        """
        number, deadline = handle.name, time.monotonic() + self._settings.grace_s
        if self._state(number).name in _OVER:
            return
        # Each may come too late, or too early: the last word is below.
        for words in (
            ("scontrol", "update", f"JobId={number}", f"Comment={_CANCELLED}"),
            ("scancel", "--state=PENDING", number),
            # the script shall not put the job back
            ("scancel", "--batch", "--signal=USR1", number),
            ("scancel", "--signal=TERM", number),  # its processes, not the script
        ):
            called(*words, needed=_NEEDED)
        while (state := self._state(number).name) not in _OVER and time.monotonic() < deadline:
            time.sleep(self._settings.poll_s)
        if state not in _OVER:
            answer("scancel", number, needed=_NEEDED)

    def _queued(self, name: str) -> list[_Queued]:
        """Jobs of this user and name that are not over."""
        output = answer(
            "squeue", "--me", "--noheader", f"--name={name}", "--format=%i|%T|%k", needed=_NEEDED
        )
        return [
            _Queued(*line.strip().split("|", maxsplit=2))
            for line in output.splitlines()
            if line.strip()
        ]

    def _state(self, number: str) -> _SlurmState:
        """What the controller says, which soon forgets ended jobs; then what accounting says."""
        completed = called("scontrol", "show", "job", number, "--oneliner", needed=_NEEDED)
        if completed.returncode == 0:
            # a name or comment comes after its own
            fields = dict(pair.partition("=")[::2] for pair in reversed(completed.stdout.split()))
            reason = fields.get("Reason", "")
            return _SlurmState(
                fields["JobState"],
                _status(fields.get("ExitCode", "0:0")),
                "" if reason == "None" else reason,
            )
        if not isinstance(error := failure(completed), SchedulerRefusal):
            raise error  # out of reach; accounting may not know of it yet
        found = called(
            "sacct",
            "--noheader",
            "--allocations",
            "--parsable2",
            "--format=State,ExitCode",
            f"--jobs={number}",
            needed=_NEEDED,
        )
        if found.returncode or not found.stdout.strip():
            raise SchedulerRefusal(
                f"Slurm knows no job {number} any more, "
                "and its accounting does not either; its log says how it ended"
            )
        name, code = found.stdout.strip().splitlines()[-1].split("|")
        return _SlurmState(name.split()[0], _status(code))  # CANCELLED by 1000


def _log(job: TrainJob, number: str = "%j") -> str:
    """Path of a job's log.

    Without a number, the form for sbatch: it fills in codes after a % of its own, and not those of
    the folder.
    """
    folder = job.out if number != "%j" else job.out.replace("%", "%%")
    return str(Path(folder) / "slurm" / f"{number}.log")


def _status(code: str) -> int:
    """A shell's status of Slurm's ``status:signal``.

    >>> _status("75:0"), _status("0:9")
    (75, 137)
    """
    status, _, number = code.partition(":")
    return int(status) or (128 + int(number) if int(number or 0) else 0)


def _ended(state: _SlurmState, log: str) -> JobEnd:
    if state.name in _NODE_LOST:
        return JobEnd(REQUEUE, requeue=True, log=log)
    if state.name == "COMPLETED":
        return JobEnd(state.status)
    # by somebody else; what its status is depends on how long it took
    if state.name == "CANCELLED":
        return JobEnd(TERMINATED, log=log)
    return JobEnd(state.status or 1, log=log)  # what is still 75 was requeued as often as it may


class _Tail:
    """Lines of a file that grows, once it is there."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def lines(self, *, whole: bool = True) -> Iterator[str]:
        """Lines since the last look; the last one once it is `whole`, or as it is."""
        if not self._path.exists():
            return
        with self._path.open("rb") as opened:
            opened.seek(self._read)
            for line in opened:
                if whole and not line.endswith(b"\n"):  # there is more to come
                    return
                self._read += len(line)
                yield line.decode(errors="replace").rstrip("\n")


SETTINGS: type[SlurmSettings] = SlurmSettings


def open_launcher(settings: SlurmSettings) -> SlurmLauncher:
    """The launcher, ready for jobs."""
    return SlurmLauncher(settings)
