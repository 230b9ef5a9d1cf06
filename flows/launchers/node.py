"""A command in one process or several of one machine, for launchers: ``python -m
flows.launchers.node [options] -- command…``.

It does torchrun's part (sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), and what
torchrun does not: a stop signal goes to each process once and is waited for without limit, because
the scheduler has its own; and the status tells that all were stopped with a checkpoint (75), where
torchrun makes 1 of every status. One process runs in this one's place.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import psutil

from flows.launchers.job import PORT, STOPPED
from pipelines.engine.child_process import die_with, die_with_parent

# that processes get to notice that one of them has failed: they wait for it in vain
_PEERS_S: Final = 60.0
_KILLED: Final = 128  # and the signal's number: a shell's status of what a signal ended


def variables(
    node: int, nodes: int, processes: int, address: str, port: int
) -> list[dict[str, str]]:
    """The variables of each process of a node.

    >>> second = variables(1, 2, 2, "host", 1)
    >>> [(one["RANK"], one["LOCAL_RANK"], one["WORLD_SIZE"]) for one in second]
    [('2', '0', '4'), ('3', '1', '4')]
    """
    common = {
        "WORLD_SIZE": str(nodes * processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
    }
    return [
        {**common, "RANK": str(node * processes + local), "LOCAL_RANK": str(local)}
        for local in range(processes)
    ]


def run_all(command: Sequence[str], environments: Sequence[Mapping[str, str]]) -> int:
    """Run a command once in each environment until all have ended; returns the first failure's
    status, one of a stop, or 0.

    SIGTERM and SIGINT are passed on as SIGTERM, once to each. When one has failed, the others have
    a minute to end.
    """
    children: list[psutil.Popen] = []
    came: list[int] = []  # stop signals
    told: set[int] = set()

    def pass_on(*_: object) -> None:
        came.append(1)
        for child in children:
            if child.pid not in told:  # a second one would end it without its checkpoint
                told.add(child.pid)
                with suppress(psutil.NoSuchProcess):
                    child.send_signal(signal.SIGTERM)

    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, pass_on)
    for one in environments:
        children.append(
            psutil.Popen(
                command,
                env={**os.environ, **one},
                preexec_fn=die_with_parent,
                stdin=subprocess.DEVNULL,
            )
        )
        if came:
            pass_on()
    failures: list[int] = []
    alive, deadline = list(children), float("inf")
    while alive:
        psutil.wait_procs(alive, timeout=1.0)
        now = [(child, child.poll()) for child in alive]
        alive = [child for child, status in now if status is None]
        statuses = [_shell_status(status) for _, status in now if status is not None]
        failures += [status for status in statuses if status not in (0, *STOPPED)]
        if any(statuses) and deadline == float("inf"):
            deadline = time.monotonic() + _PEERS_S
        if time.monotonic() > deadline:
            for child in alive:
                child.kill()
    return failures[0] if failures else max(_shell_status(child.returncode) for child in children)


def _shell_status(status: int) -> int:
    return status if status >= 0 else _KILLED - status


def free_port() -> int:
    """A port of this machine at which nothing listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m flows.launchers.node", description=__doc__)
    parser.add_argument(
        "--parent", type=int, default=0, help="process id of the starter, to end with it"
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--node", type=int, default=0, help="number of this machine, from 0")
    parser.add_argument("--main", default="127.0.0.1", help="address of machine 0")
    parser.add_argument("command", nargs="+")
    told = parser.parse_args(arguments)
    if told.parent:
        die_with(told.parent)
    if told.processes * told.nodes == 1:
        os.execvp(told.command[0], told.command)  # what ties this process to its starter holds
    # each by itself would take them all
    threads = str(max(1, (os.cpu_count() or 1) // told.processes))
    port = PORT if told.nodes > 1 else free_port()
    made = variables(told.node, told.nodes, told.processes, told.main, port)
    sys.exit(
        run_all(
            told.command,
            [
                {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads), **one}
                for one in made
            ],
        )
    )


if __name__ == "__main__":
    main()
