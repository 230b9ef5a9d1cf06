"""Where training runs: here, on a Slurm cluster, on Kubernetes, or where a plug-in
(pipelines/plug_ins.py) takes it. One launcher per file, all behind `Launcher`; local.py is the
place to start reading.
"""

from typing import Any, Final, Protocol, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from flows.launchers.job import Count, Handle, JobEnd, Launcher, TrainJob, followed, launched
from pipelines.errors import PipelineError
from pipelines.plug_ins import Door
from schemas.errors import SchemaError
from schemas.record import Record

__all__ = (
    "LAUNCHERS",
    "Handle",
    "JobEnd",
    "Launcher",
    "LauncherModule",
    "Launching",
    "TrainJob",
    "followed",
    "launched",
)


SettingsT = TypeVar("SettingsT", bound=Record)


class LauncherModule(Protocol[SettingsT]):
    """What a launcher's module offers."""

    SETTINGS: type[SettingsT]  # their knobs are what `--launch knob=value` sets

    def open_launcher(self, settings: SettingsT) -> Launcher:
        """The launcher, ready for jobs."""
        ...


LAUNCHERS: Final = Door[LauncherModule[Record]](
    kind="launcher",
    group="obbligato.launchers",
    built_in={name: f"{__name__}.{name}" for name in ("local", "slurm", "kubernetes")},
    needs=("SETTINGS", "open_launcher"),
)


class Launching(Record):
    """Where training runs, and by how many processes.

    >>> Launching(launcher="slurm", settings={"time": "1:00:00"}).made.__class__.__name__
    'SlurmLauncher'
    """

    launcher: str = Field("local", description="local, slurm, kubernetes, or a plug-in's name.")
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

    @field_validator("launcher")
    @classmethod
    def _offered(cls, name: str) -> str:
        try:
            LAUNCHERS.offer(name)
        except PipelineError as error:
            raise SchemaError(str(error)) from error
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = LAUNCHERS.offer(self.launcher).SETTINGS
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
        module = LAUNCHERS.offer(self.launcher)
        return module.open_launcher(module.SETTINGS.model_validate(self.settings))

    def job(self, arguments: tuple[str, ...], out: str) -> TrainJob:
        """A command of ours as this place runs it."""
        return TrainJob(
            arguments=arguments,
            out=out,
            processes=self.processes,
            nodes=self.nodes,
            requeues=self.requeues,
        )
