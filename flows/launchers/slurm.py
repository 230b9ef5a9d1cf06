"""Training on a Slurm cluster: a batch script that anybody can read, and Slurm's own commands.

The script requeues itself. Slurm sends SIGTERM before the time limit and on preemption; training writes a checkpoint and ends with
status 75; the script puts the job back into the queue, and it goes on where it was. So a job outlives its time limit, and whoever follows.

submitit (1.5) is not used: it ships a pickled call, takes SIGTERM for itself, and requeues from a signal handler before it can know whether
a checkpoint was written.
"""

import shlex
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import Field

from flows.errors import UsageError
from flows.launchers.job import REQUEUE, STOPPED, Ended, Handle, Tell, TrainJob
from flows.launchers.programs import answer, called, patient
from schemas.record import Record

_NEEDED: Final = "the slurm launcher needs Slurm's commands on this machine, such as a cluster's login node"
_GONE: Final = {"PREEMPTED", "NODE_FAIL", "TIMEOUT", "BOOT_FAIL"}  # ends that are no fault of the job, on clusters that do not requeue
_OVER: Final = {"COMPLETED", "FAILED", "CANCELLED", "OUT_OF_MEMORY", "DEADLINE", *_GONE}


class SlurmSettings(Record):
    """Of the Slurm launcher."""

    partition: str = Field("", description="Empty: the cluster's default, as for all that is empty here.")
    account: str = Field("", description="Who pays.")
    time: str = Field("", description="Limit of one turn, such as 12:00:00 or 1-00:00:00; a run goes on in the next one.")
    gpus: int | None = Field(None, ge=0, description="GPUs of each node. None: one for each process; 0: none.")
    cpus: int = Field(8, ge=1, description="CPUs of each process.")
    memory: str = Field("", description="Of each node, such as 200G.")
    options: tuple[str, ...] = Field((), description="More options of sbatch, such as --qos=high.")
    setup: str = Field("", description="Shell line before training, such as 'module load cuda'.")
    python: str = Field("", description="Python on the nodes. Empty: the path of this one, as on a shared file system.")
    grace_s: int = Field(120, ge=1, description="Seconds before the time limit at which training is told to write its checkpoint.")
    poll_s: float = Field(5.0, gt=0, description="Seconds between two looks at the job.")


class _State(NamedTuple):
    name: str  # as Slurm calls it
    status: int


class SlurmLauncher:
    """Submits jobs by sbatch."""

    def __init__(self, settings: SlurmSettings) -> None:
        self._settings = settings

    def submit(self, job: TrainJob) -> Handle:
        """Submit a job, or find the one of the same folder that is in the queue or runs: its follower may have gone.

        Its output goes to ``slurm/<job id>.log`` in the run's folder, which all nodes must share.
        """
        if "://" in job.out:
            raise UsageError(f"{job.out}: a run on Slurm is written to a folder that all nodes share, not to a URL")
        logs = Path(job.out) / "slurm"
        said = answer("squeue", "--me", "--noheader", f"--name={job.name}", "--format=%i", needed=_NEEDED)
        if not said.strip():
            logs.mkdir(parents=True, exist_ok=True)
            said = answer("sbatch", "--parsable", given=batch_script(job, self._settings, str(logs / "%j.log")), needed=_NEEDED)
        number = said.split()[0].partition(";")[0]  # after it, the cluster's name where there are several
        return Handle(number, str(logs / f"{number}.log"))

    def follow(self, handle: Handle, tell: Tell) -> Ended:
        """Tell the job's states, and its log as it grows, through all requeues."""
        log, before = _Tail(Path(handle.log)), ""
        while True:
            state = patient(partial(self._state, handle.name), self._settings.poll_s)
            for line in log.lines():
                tell(line)
            if state.name != before:
                tell(f"Slurm job {handle.name}: {state.name.lower()}")
            if state.name in _OVER:
                return _ended(state)
            before = state.name
            time.sleep(self._settings.poll_s)

    def cancel(self, handle: Handle) -> None:
        """Cancel a job, in whatever turn it is: SIGTERM, and SIGKILL after the cluster's KillWait."""
        answer("scancel", handle.name, needed=_NEEDED)

    def _state(self, number: str) -> _State:
        """What the controller says, which forgets a job minutes after its end; then what accounting says."""
        shown = called("scontrol", "show", "job", number, "--oneliner", needed=_NEEDED)
        if shown.returncode == 0:
            fields = dict(pair.partition("=")[::2] for pair in shown.stdout.split())
            return _State(fields["JobState"], _status(fields.get("ExitCode", "0:0")))
        found = answer("sacct", "--noheader", "--allocations", "--parsable2", "--format=State,ExitCode", f"--jobs={number}", needed=_NEEDED)
        if not found.strip():
            raise UsageError(f"Slurm knows no job {number} any more, and its accounting does not either")
        name, code = found.strip().splitlines()[-1].split("|")
        return _State(name.split()[0], _status(code))  # CANCELLED by 1000


def _status(code: str) -> int:
    """A shell's status of Slurm's ``status:signal``.

    >>> _status("75:0"), _status("0:9")
    (75, 137)
    """
    status, _, number = code.partition(":")
    return int(status) or (128 + int(number) if int(number or 0) else 0)


def _ended(state: _State) -> Ended:
    if state.name in _GONE:
        return Ended(REQUEUE, requeue=True)
    return Ended(state.status if state.name == "COMPLETED" else state.status or 1)  # what is still 75 was requeued as often as it may


class _Tail:
    """Lines of a file that grows, once it is there."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def lines(self) -> Iterator[str]:
        if not self._path.exists():
            return
        with self._path.open("rb") as opened:
            opened.seek(self._read)
            for line in opened:
                if not line.endswith(b"\n"):  # there is more to come
                    return
                self._read += len(line)
                yield line.decode(errors="replace").rstrip("\n")


def batch_script(job: TrainJob, settings: SlurmSettings, log: str) -> str:
    """The script that sbatch is given: srun starts one process for each rank, and Slurm's own signals reach each of them once.

    >>> job = TrainJob(arguments=("train", "/corpus"), out="/m", nodes=2, processes=8)
    >>> lines = batch_script(job, SlurmSettings(time="1:00:00"), "log").splitlines()
    >>> [line for line in lines if "node=" in line]
    ['#SBATCH --ntasks-per-node=8', '#SBATCH --gpus-per-node=8']
    """
    gpus = job.processes if settings.gpus is None else settings.gpus
    asked = {
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
        "signal": f"TERM@{settings.grace_s}",
    }
    options = [f"#SBATCH --{name}={value}" for name, value in asked.items() if value]
    lines = ["#!/bin/bash", *options, "#SBATCH --requeue", *(f"#SBATCH {option}" for option in settings.options)]
    return "\n".join([*lines, "", *([settings.setup] if settings.setup else []), *_body(job, settings)]) + "\n"


def _body(job: TrainJob, settings: SlurmSettings) -> list[str]:
    # Only the end of the whole job is told to the shell too. Trapped, not ignored: srun shall hear it.
    lines = ["trap 'ending=1' TERM"]
    ranked = 'export RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS; exec "$@"'
    start = ["bash", "-c", ranked, "bash"] if job.ranks > 1 else []
    if job.nodes > 1:
        lines.append('export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)')
    elif job.ranks > 1:
        lines.append("export MASTER_ADDR=127.0.0.1 GLOO_SOCKET_IFNAME=lo")
    if job.ranks > 1:
        lines.append("export MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))  # two jobs may share a node")
    # Once one process has ended, the others have a minute: to end as well after a checkpoint, or to notice that one has failed.
    srun = ["srun", "--kill-on-bad-exit=0", "--wait=60", f"--cpus-per-task={settings.cpus}"]
    return [
        *lines,
        shlex.join([*srun, *start, *job.command(settings.python or sys.executable)]),
        "status=$?",
        f"stopped=$(({' || '.join(f'status == {status}' for status in STOPPED)}))",
        "if ((stopped)) && [[ ${ending:-} ]]; then",
        "    sleep 600  # Slurm has cancelled the job, or puts it back itself after a preemption: it is not for us to say",
        f"elif ((stopped && ${{SLURM_RESTART_COUNT:-0}} < {job.requeues})); then",
        '    scontrol requeue "$SLURM_JOB_ID"',
        "fi",
        'exit "$status"',
    ]
