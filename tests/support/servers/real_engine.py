"""A command that builds through a real engine of this machine, by `infra/cluster/run.sh`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from tests.support.building import ROOT

_RUN: Final = ROOT / "infra/cluster/run.sh"


SERVERS: Final = {  # of an engine, by words of their commands
    "flink": {
        "task manager": "TaskManagerRunner",
        "job manager": "StandaloneSessionClusterEntrypoint",
        "job server": "FlinkJobServerDriver",
    },
    "spark": {
        "executor": "CoarseGrainedExecutorBackend",
        "Spark's worker": "deploy.worker.Worker",
        "master": "deploy.master.Master",
        "job server": "SparkJobServerDriver",
    },
    "prism": {"job server": "prism -job_port"},
}


class Through(NamedTuple):
    """A command, and the environment that it wants."""

    command: list[str]
    environment: dict[str, str]


def through(engine: str, build: Sequence[str], logs: Path, slots: int = 1) -> Through:
    """What builds through an engine, whose servers write to `logs` and have so many slots each."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(ROOT), "LOGS": str(logs), "SLOTS": str(slots)}
    return Through([str(_RUN), engine, *build], {**os.environ, **own})


def commands(run: psutil.Process) -> list[tuple[psutil.Process, str]]:
    """A run and all below it with their commands; shells that keep them alive left out."""
    every = [(one, words_of(one)) for one in (run, *run.children(recursive=True))]
    return [(one, words) for one, words in every if words and one.name() not in ("bash", "sh")]


def words_of(process: psutil.Process) -> str:
    """The command of a process; nothing of one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
