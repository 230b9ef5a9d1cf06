"""Where training runs: here, on a Slurm cluster, on Kubernetes.

One launcher per file, all behind `Launcher`; local.py is the place to start reading.
"""

from enum import StrEnum
from typing import Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from flows.launchers.job import Count, Ended, Handle, Launcher, TrainJob, followed, launched
from flows.launchers.kubernetes import KubernetesLauncher, KubernetesSettings
from flows.launchers.local import LocalLauncher, LocalSettings
from flows.launchers.slurm import SlurmLauncher, SlurmSettings
from schemas.errors import SchemaError
from schemas.record import Record

__all__ = (
    "Ended",
    "Handle",
    "Launcher",
    "LauncherName",
    "Launching",
    "TrainJob",
    "followed",
    "launched",
)


class LauncherName(StrEnum):
    """The launchers there are."""

    LOCAL = "local"
    SLURM = "slurm"
    KUBERNETES = "kubernetes"


_SETTINGS: Final[dict[LauncherName, type[Record]]] = {
    LauncherName.LOCAL: LocalSettings,
    LauncherName.SLURM: SlurmSettings,
    LauncherName.KUBERNETES: KubernetesSettings,
}


class Launching(Record):
    """Where training runs, and by how many processes.

    >>> Launching(launcher="slurm", settings={"time": "1:00:00"}).made.__class__.__name__
    'SlurmLauncher'
    """

    launcher: LauncherName = Field(LauncherName.LOCAL, description="local, slurm or kubernetes.")
    processes: Count = Field(1, description="On each node; on GPUs, one for each.")
    nodes: Count = Field(1, description="Machines.")
    requeues: int = Field(
        10,
        ge=0,
        description="How often a run that was stopped from outside goes on; on Kubernetes, always.",
    )
    settings: dict[str, Any] = Field(
        {}, description="Of the launcher, such as partition, time, image, namespace, gpus."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = _SETTINGS[self.launcher]
        try:
            kind.model_validate(self.settings)
        except ValidationError as error:
            problems = "; ".join(
                (
                    f"{'.'.join(map(str, problem['loc']))}: "
                    f"{problem['msg'].removeprefix('Value error, ')}"
                )
                for problem in error.errors()
            )
            raise SchemaError(
                f"the {self.launcher} launcher: {problems}; it has {', '.join(kind.model_fields)}"
            ) from error
        return self

    @property
    def made(self) -> Launcher:
        """The launcher, ready for jobs."""
        if self.launcher is LauncherName.SLURM:
            return SlurmLauncher(SlurmSettings.model_validate(self.settings))
        if self.launcher is LauncherName.KUBERNETES:
            return KubernetesLauncher(KubernetesSettings.model_validate(self.settings))
        return LocalLauncher(LocalSettings.model_validate(self.settings))

    def job(self, arguments: tuple[str, ...], out: str) -> TrainJob:
        """A command of ours as this place runs it."""
        return TrainJob(
            arguments=arguments,
            out=out,
            processes=self.processes,
            nodes=self.nodes,
            requeues=self.requeues,
        )
