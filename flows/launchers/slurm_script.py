"""The batch script of the Slurm launcher, and what can be set in it.

The script requeues itself. Slurm sends SIGTERM before the time limit and on preemption; training
writes a checkpoint and ends with status 75; the script puts the job back into the queue, and it
goes on where it was. So a job outlives its time limit, and whoever follows.
"""

import re
import shlex
import sys
from typing import Annotated

from pydantic import AfterValidator, Field

from flows.errors import UsageError
from flows.launchers.job import LAUNCHED, REQUEUE, STOPPED, TrainJob
from schemas.record import Record


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(
            f"{text!r} has control characters, which would end "
            "its line of the script; write it in one plain line"
        )
    return text


Line = Annotated[str, AfterValidator(_one_line)]


class SlurmSettings(Record):
    """Of the Slurm launcher.

    `setup` and `python` are code that the job runs; nothing else here is.
    """

    partition: Line = Field(
        "", description="Empty: the cluster's default, as for all that is empty here."
    )
    account: Line = Field("", description="Who pays.")
    time: Line = Field(
        "",
        description=(
            "Limit of one turn, such as 12:00:00 or 1-00:00:00; a run goes on in the next one."
        ),
    )
    gpus: int | None = Field(
        None, ge=0, description="GPUs of each node. None: one for each process; 0: none."
    )
    cpus: int = Field(8, ge=1, description="CPUs of each process.")
    memory: Line = Field("", description="Of each node, such as 200G.")
    options: tuple[Line, ...] = Field((), description="More options of sbatch, such as --qos=high.")
    setup: str = Field(
        "", description="Shell lines before training, run as they are, such as 'module load cuda'."
    )
    python: str = Field(
        "",
        description="Python on the nodes. Empty: the path of this one, as on a shared file system.",
    )
    grace_s: int = Field(
        120,
        ge=1,
        description=(
            "Seconds for a checkpoint, at least: before the time limit, and once it is cancelled."
        ),
    )
    poll_s: float = Field(5.0, gt=0, description="Seconds between two looks at the job.")


def batch_script(job: TrainJob, settings: SlurmSettings, log: str) -> str:
    """The script for sbatch: srun starts a process for each rank, which Slurm's signals reach once.

    >>> job = TrainJob(arguments=("train", "/corpus"), out="/m", nodes=2, processes=8)
    >>> lines = batch_script(job, SlurmSettings(time="1:00:00"), "log").splitlines()
    >>> [line for line in lines if "node=" in line]
    ['#SBATCH --ntasks-per-node=8', '#SBATCH --gpus-per-node=8']
    """
    gpus = job.processes if settings.gpus is None else settings.gpus
    requested = {
        "job-name": job.name,
        "output": log,
        "open-mode": "append",  # one log for all turns
        "nodes": str(job.nodes),
        "ntasks-per-node": str(job.processes),
        "cpus-per-task": str(settings.cpus),
        "gpus-per-node": str(gpus) if gpus else "",
        "mem": settings.memory,
        "partition": settings.partition,
        "account": settings.account,
        "time": settings.time,
        "signal": f"TERM@{max(settings.grace_s, job.checkpoint_s)}",
    }
    options = [f"#SBATCH --{name}={_quoted(value)}" for name, value in requested.items() if value]
    lines = [
        "#!/bin/bash",
        *options,
        "#SBATCH --requeue",
        *(f"#SBATCH {option}" for option in settings.options),
    ]
    # Only the end of the whole job reaches the shell too. Trapped, not ignored: srun shall get
    # it.
    traps = [
        "trap 'ending=1' TERM",
        "trap 'cancelled=1' USR1  # by the launcher, which stops the processes itself",
    ]
    return (
        "\n".join(
            [
                *lines,
                "",
                *traps,
                *([settings.setup] if settings.setup else []),
                *_body(job, settings),
            ]
        )
        + "\n"
    )


def _quoted(value: str) -> str:
    r"""A value as sbatch reads it: it ends one at a blank or a #.

    Raises `UsageError` for one that would end its line.

    >>> print(_quoted("12:00:00"), _quoted('/data/My "model" #2/%j.log'))
    12:00:00 "/data/My \"model\" #2/%j.log"
    """
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise UsageError(
            f"{value!r} has control characters, which would "
            "end its line of the script; name another --out"
        )
    if re.fullmatch(r"[\w./:@%+=,-]*", value, re.ASCII):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _body(job: TrainJob, settings: SlurmSettings) -> list[str]:
    ranked = (
        'export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS; exec "$@"'
    )
    start = ["bash", "-c", ranked, "bash"] if job.ranks > 1 else []
    lines = [f"export {LAUNCHED}=slurm"]
    if job.nodes > 1:
        lines.append(
            'export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)'
        )
    elif job.ranks > 1:
        lines.append("export MASTER_ADDR=127.0.0.1 GLOO_SOCKET_IFNAME=lo")
    if job.ranks > 1:
        lines.append(
            "export MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))  # two jobs may share a node"
        )
    # Once one process has ended, the others have a minute: to end as well after a checkpoint, or to
    # notice that one has failed.
    srun = ["srun", "--kill-on-bad-exit=0", "--wait=60", f"--cpus-per-task={settings.cpus}"]
    return [
        *lines,
        f"[[ ${{cancelled:-}} ]] && exit {REQUEUE}  # before it began",
        shlex.join([*srun, *start, *job.command(settings.python or sys.executable)]),
        "status=$?",
        f"stopped=$(({' || '.join(f'status == {status}' for status in STOPPED)}))",
        "if ((stopped)) && [[ ${ending:-} ]]; then",
        (
            "    sleep 600  # Slurm has cancelled the job, or puts it back itself after a "
            "preemption: it is not for us to say"
        ),
        (
            "elif ((stopped && ${SLURM_RESTART_COUNT:-0} < "
            f"{job.requeues})) && [[ -z ${{cancelled:-}} ]]; then"
        ),
        '    scontrol requeue "$SLURM_JOB_ID"',
        "fi",
        'exit "$status"',
    ]
