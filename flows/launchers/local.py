"""Training on this machine, in a process group that ends with this process and its flow."""

import os

from pydantic import Field

from flows.build.step_process import ProcessGroup
from flows.errors import UsageError
from flows.launchers.job import STOPPED, Handle, JobEnd, ReportLine, TrainJob
from pipelines.engine.child_process import module_command
from schemas.record import Record


class LocalSettings(Record):
    """Of the local launcher."""

    grace_s: float = Field(
        20.0,
        ge=0,
        description=(
            "What a cancelled run gets for its checkpoint, at least. Prefect kills a flow run 30 s "
            "after."
        ),
    )


class LocalLauncher:
    """Runs jobs here."""

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._running: dict[str, ProcessGroup] = {}
        self._grace_s = settings.grace_s

    def check(self, job: TrainJob) -> None:
        """Raises `UsageError` for more than one node, and for a run's folder that is a URL."""
        if job.nodes > 1:
            raise UsageError(
                f"the local launcher has one machine, not {job.nodes}: "
                "--nodes 1, or --launcher slurm or kubernetes"
            )
        if "://" in job.out:
            raise UsageError(
                f"{job.out}: a run is written to a folder of this "
                "machine, such as a mounted disk, not to a URL"
            )

    def find(self, job: TrainJob, report: ReportLine) -> Handle | None:
        """None: a run here ends with its starter, and another one is refused by the run's lock."""

    def submit(self, job: TrainJob) -> Handle:
        """Start a job."""
        node = module_command(
            "flows.launchers.node", "--parent", str(os.getpid()), "--processes", str(job.processes)
        )
        group = ProcessGroup([*node, "--", *job.command()])
        self._running[str(group.pid)] = group
        if job.checkpoint_bytes:
            self._grace_s = max(self._settings.grace_s, float(job.checkpoint_s))
        return Handle(str(group.pid))

    def follow(self, handle: Handle, report: ReportLine) -> JobEnd:
        """Report what it prints until it has ended.

        A stop with a checkpoint came from outside: a cancelled job is not followed.
        """
        group = self._running[handle.name]
        for _, line in group.lines():
            report(line)
        status = group.ended()
        del self._running[handle.name]
        return JobEnd(status, requeue=status in STOPPED)

    def cancel(self, handle: Handle) -> None:
        """SIGTERM, a while for the checkpoint, then the end of all that is left."""
        group = self._running.pop(handle.name, None)
        if group is not None:
            group.stop(self._grace_s)


SETTINGS: type[LocalSettings] = LocalSettings


def open_launcher(settings: LocalSettings) -> LocalLauncher:
    """The launcher, ready for jobs."""
    return LocalLauncher(settings)
