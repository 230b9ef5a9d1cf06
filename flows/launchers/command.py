"""`obbligato train` as a job for a launcher: one command that means the same wherever it runs."""

import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

from pydantic import ValidationError

from flows.build.recipe_files import with_settings
from flows.build.run_step import absolute
from flows.errors import UsageError
from flows.launchers import JobEnd, Launching, TrainJob, launched
from flows.launchers.job import REQUEUE, STOPPED, ReportLine


def train_job(
    shards: Sequence[str],
    out: str,
    preset: str,
    settings: Sequence[str],
    launching: Launching,
    command: Sequence[str] = ("train",),
) -> TrainJob:
    """The job of a training run, of a model or of what `command` names. Paths hold in any working
    folder.

    >>> train_job(["s3://b/corpus"], "/data/m", "tiny", ["run.steps=8"], Launching()).arguments
    ('train', 's3://b/corpus', '--out', '/data/m', '--preset', 'tiny', '--set', 'run.steps=8')
    """
    out = absolute(out)
    addresses = [absolute(shard) for shard in shards]
    options = [part for setting in settings for part in ("--set", setting)]
    named = ("--preset", preset) if preset else ()
    return launching.job((*command, *addresses, "--out", out, *named, *options), out)


def launching_of(launcher: str, processes: int, nodes: int, settings: Sequence[str]) -> Launching:
    """Where to train, from a command's options. Raises `UsageError` naming what does not fit.

    >>> launching_of("slurm", 8, 2, ["time=12:00:00", "cpus=4", 'options=["--qos=high"]']).settings
    {'time': '12:00:00', 'cpus': '4', 'options': ['--qos=high']}
    """
    values = {
        "launcher": launcher,
        "processes": processes,
        "nodes": nodes,
        "settings": dict(map(_pair, settings)),
    }
    try:
        return Launching.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{_option(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise UsageError(f"{problems}. `obbligato train --help` says how to launch") from error


def _option(location: tuple[int | str, ...]) -> str:
    """The option that a problem is with; the settings' own errors name the launcher."""
    return f"--{location[0]}" if location else "--launch"


def _pair(setting: str) -> tuple[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals:
        raise UsageError(f"--launch {setting}: expected key=value, such as partition=gpu")
    if text.startswith(("[", "{")):
        return key, with_settings({}, [f"launch.{key}={text}"])["launch"][key]
    return key, text  # text as it is: 12:00:00 is not a time of day


class _StopSignal(BaseException):
    """A stop signal came."""


def run_launched(job: TrainJob, launching: Launching, report: ReportLine) -> int:
    """Run a job to its end, for a command; returns the status of the command.

    SIGTERM or SIGINT cancels the job, which gets time for a checkpoint, and gives 75. Raises
    `UsageError` for a job that fails.
    """

    def stop(number: int, _: FrameType | None) -> None:
        # a second one ends this process, and what runs here with it
        signal.signal(number, signal.SIG_DFL)
        raise _StopSignal

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ended = launched(launching.made, job, report)
    except _StopSignal:
        report("cancelled; the same command goes on from the last checkpoint")
        return REQUEUE
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    check_end(ended, job.out)
    if ended.status:
        report(stopped(ended, job))
    return ended.status


def check_end(ended: JobEnd, out: str) -> None:
    """Raises `UsageError` for a job that has failed; a stop is none."""
    if ended.status not in (0, *STOPPED):
        where = (
            f"the first error in {ended.log}" if ended.log else "the first error that it printed"
        )
        raise UsageError(
            f"training ended with status {ended.status}; "
            f"{where} says why. The same command goes on in {out}"
        )


def stopped(ended: JobEnd, job: TrainJob) -> str:
    """What there is to say of a job that was stopped and that nobody put back.

    >>> said = stopped(JobEnd(75, requeue=True), TrainJob(arguments=(), out="/m", requeues=2))
    >>> said.partition(";")[0]
    'training in /m was stopped 3 times, as often as it may go on, and has more to do'
    """
    how = (
        f"{job.requeues + 1} times, as often as it may go on,"
        if ended.requeue
        else f"with status {ended.status} and not put back,"
    )
    log = f". Its log: {ended.log}" if ended.log else ""
    return (
        f"training in {job.out} was stopped {how} and has more to do; the same command goes on{log}"
    )
