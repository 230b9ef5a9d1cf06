"""Table J of the security review: where the processes of a training listen."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.micro_training import as_options, corpus

ROOT = Path(__file__).parents[2]
LOOPBACK = ("127.0.0.1", "::1")
# What one process of several does first, and then tells of all at which addresses it listens.
SCRIPT = """
import psutil, torch
from training.run.parallel import joined
with joined("cpu") as world:
    assert world.summed(torch.ones(1)).item() == world.ranks == 2
    opened = psutil.Process().net_connections()
    mine = [connection.laddr.ip for connection in opened if connection.status == "LISTEN"]
    for address in world.gathered(mine) if world.is_first else world.gathered(mine)[:0]:
        print("listens", address, flush=True)
"""


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


@pytest.mark.slow
def test_j1_processes_of_one_machine_meet_on_loopback_alone(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "flows.launchers.node",
        "--processes",
        "2",
        "--",
        sys.executable,
        str(tmp_path / "script.py"),
    ]
    done = subprocess.run(
        command,
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    addresses = [
        line.split()[1] for line in done.stdout.splitlines() if line.startswith("listens ")
    ]
    # the first one's store, and what each has for the others
    assert len(addresses) >= 3, done.stderr
    assert set(addresses) <= set(LOOPBACK)


def listening(pid: int) -> set[str]:
    """Addresses at which a process and all that it started listen now."""
    found: set[str] = set()
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            found |= {
                one.laddr.ip
                for one in process.net_connections()
                if one.status == psutil.CONN_LISTEN
            }
        except psutil.Error:  # it has just ended
            continue
    return found


@pytest.mark.slow
def test_j1_while_two_processes_train_nothing_of_theirs_listens_beyond_loopback(
    tmp_path: Path,
) -> None:
    words = [
        str(corpus(tmp_path / "corpus")),
        "--out",
        str(tmp_path / "model"),
        "--processes",
        "2",
        *as_options(),
    ]
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "train",
        *words,
        "--set",
        "run.steps=20",
        "--set",
        "run.device=cpu",
    ]
    seen: set[str] = set()
    with subprocess.Popen(
        command, env=environment(), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as running:
        for line in running.stdout or ():
            if line.startswith("step "):
                seen |= listening(running.pid)
    assert running.returncode == 0
    assert seen
    assert seen <= set(LOOPBACK)
