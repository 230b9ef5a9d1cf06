"""The Slurm launcher on a real Slurm that is this machine: a controller and two nodes of their own
folder and ports, which know no other.

Nightly, where Slurm is installed (Debian's package slurm-wlm). What it shows that the stand-ins
cannot: how sbatch reads the script, which signals reach whom, and what states there are on the way.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.launchers import JobEnd, Launching, launched
from tests.flows.launchers.pretending import Listener, alive, break_off, job
from tests.support.waiting import free_port, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("slurmctld", path=os.environ["PATH"] + ":/usr/sbin") is None,
        reason="no Slurm: Debian's slurm-wlm",
    ),
]
ROOT = Path(__file__).parents[3]
NODES = ("n1", "n2")
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=bf_interval=5
SlurmdParameters=config_overrides
{nodes}
PartitionName=low Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=20
PartitionName=high Nodes=ALL State=UP PriorityTier=10
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=1000"


def write_configuration(folder: Path) -> Path:
    host = platform.node().partition(".")[0]
    nodes = "\n".join(NODE.format(name=name, host=host, port=free_port()) for name in NODES)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    for name in ("state", *NODES):
        (folder / name).mkdir()
    made = folder / "slurm.conf"
    made.write_text(
        CONFIGURATION.format(folder=folder, host=host, port=free_port(), user=user, nodes=nodes)
    )
    return made


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Configuration of a cluster that runs."""
    folder = tmp_path_factory.mktemp("slurm")
    made = write_configuration(folder)
    environment = {**os.environ, "SLURM_CONF": str(made), "PATH": os.environ["PATH"] + ":/usr/sbin"}

    def asked(*words: str) -> str:
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False
        ).stdout

    with ExitStack() as stack:
        for words in (["slurmctld", "-D"], *(["slurmd", "-D", "-N", name] for name in NODES)):
            with (folder / f"{words[-1]}.printed").open("w") as printed:
                daemon = subprocess.Popen(words, env=environment, stdout=printed, stderr=printed)
            stack.callback(daemon.wait)
            stack.callback(daemon.terminate)
        stack.callback(until, lambda: not asked("squeue", "--noheader"), "end of all jobs")
        stack.callback(asked, "scancel", "--partition=low,high")
        until(
            lambda: (
                asked("sinfo", "--noheader", "--Node", "--partition=low", "--format=%T").split()
                == ["idle"] * len(NODES)
            ),
            "two nodes",
        )
        yield made


@pytest.fixture
def launching(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> Launching:
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Launching(launcher="slurm", settings={"poll_s": 0.2, "cpus": 1, "gpus": 0})


def test_two_nodes_train_together_in_a_folder_of_any_name(
    launching: Launching, tmp_path: Path
) -> None:
    listener = Listener()
    out = tmp_path / 'My "model" #2 100%j'
    assert launched(launching.made, job(out, nodes=2, processes=2), listener) == JobEnd(0)
    assert sorted(line for line in listener.lines if line.startswith("turn")) == [
        f"turn 0, rank {rank} of 4 at n1" for rank in range(4)
    ]
    assert len(list((out / "slurm").glob("*.log"))) == 1


def test_a_preempted_job_writes_a_checkpoint_is_requeued_and_goes_on(
    launching: Launching, tmp_path: Path
) -> None:
    def preempt(_: list[int]) -> None:
        urgent = [
            "sbatch",
            "--partition=high",
            "--nodes=2",
            "--exclusive",
            "--output=/dev/null",
            "--wrap=true",
        ]
        subprocess.run(urgent, check=True, capture_output=True)

    class Impatient(Listener):
        """Slurm lets a requeued job wait for two minutes."""

        def __call__(self, line: str) -> None:
            super().__call__(line)
            if line.endswith("pending (BeginTime)"):
                subprocess.run(
                    ["scontrol", "update", f"JobId={line.split()[2].rstrip(':')}", "StartTime=now"],
                    check=True,
                )

    listener = Impatient(preempt, ranks=2)
    assert launched(
        launching.made, job(tmp_path / "m", "--stops", "1", processes=2), listener
    ) == JobEnd(0)
    assert sorted(file.name for file in (tmp_path / "m").glob("checkpoint-*")) == [
        "checkpoint-0-0",
        "checkpoint-0-1",
    ]
    assert len(list((tmp_path / "m").glob("turn-*"))) == 4
    assert len(list((tmp_path / "m" / "slurm").glob("*.log"))) == 1  # one job from first to last


def test_a_cancelled_job_writes_its_checkpoint_and_the_next_does_not_follow_it(
    launching: Launching, tmp_path: Path
) -> None:
    listener = Listener(break_off, ranks=2)
    with pytest.raises(KeyboardInterrupt):
        launched(launching.made, job(tmp_path / "m", "--stops", "1", processes=2), listener)
    assert sorted(file.name for file in (tmp_path / "m").glob("checkpoint-*")) == [
        "checkpoint-0-0",
        "checkpoint-0-1",
    ]
    assert alive(listener.pids) == []
    assert launched(
        launching.made, job(tmp_path / "m", "--stops", "1", processes=2), Listener()
    ) == JobEnd(0)
    assert len(list((tmp_path / "m" / "slurm").glob("*.log"))) == 2


def test_a_job_that_waits_says_why_and_can_be_cancelled(
    launching: Launching, tmp_path: Path
) -> None:
    held = Launching(launcher="slurm", settings={**launching.settings, "options": ["--hold"]})
    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launched(held.made, job(tmp_path / "m"), listen)
    assert [line.partition(": ")[2] for line in lines] == ["pending (JobHeldUser)"]
    assert held.made.find(job(tmp_path / "m"), print) is None


def test_a_failure_is_told_with_its_words(launching: Launching, tmp_path: Path) -> None:
    listener = Listener()
    ended = launched(launching.made, job(tmp_path / "m", "--fails", "3"), listener)
    [log] = (tmp_path / "m" / "slurm").glob("*.log")
    assert ended == JobEnd(3, log=str(log))
    assert "out of luck" in listener.lines
    assert listener.lines[-1] == f"Slurm job {log.stem}: failed"
