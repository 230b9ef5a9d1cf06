"""A command in one process or several of a machine: ``python -m flows.launchers.node``.

It does torchrun's part (sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), and what
torchrun does not: a stop signal goes to each process once and is waited for without limit, because
the scheduler has its own; and the status says that all were stopped with a checkpoint (75), where
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
    """Run a command once in each environment until all have ended.

    Returns the first failure's status, one of a stop, or 0. SIGTERM and SIGINT are passed on as
    SIGTERM, once to each. When one has failed, the others have a minute to end.
    """
    children: list[psutil.Popen] = []
    stops = _Stops(children)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, stops.receive)
    for environment in environments:
        children.append(_started(command, environment))
        stops.pass_on()
    failures = _waited_for(children)
    return failures[0] if failures else max(_shell_status(child.returncode) for child in children)


class _Stops:
    """Stop signals, each of which is passed on once to each child, later ones included."""

    def __init__(self, children: list[psutil.Popen]) -> None:
        self._children = children
        self._received = False
        self._signalled: set[int] = set()  # process ids

    def receive(self, *_: object) -> None:
        """Handle a signal."""
        self._received = True
        self.pass_on()

    def pass_on(self) -> None:
        """Stop the children that have not been asked to stop, where a signal has come."""
        if not self._received:
            return
        for child in self._children:
            if child.pid not in self._signalled:  # a second one would end it without checkpoint
                self._signalled.add(child.pid)
                with suppress(psutil.NoSuchProcess):
                    child.send_signal(signal.SIGTERM)


def _started(command: Sequence[str], environment: Mapping[str, str]) -> psutil.Popen:
    return psutil.Popen(
        command,
        env={**os.environ, **environment},
        preexec_fn=die_with_parent,
        stdin=subprocess.DEVNULL,
    )


def _waited_for(children: Sequence[psutil.Popen]) -> list[int]:
    """Statuses of failures in the order in which they came, once all children have ended.

    After the first end with a status other than 0, the others are killed when a minute is over.
    """
    failures: list[int] = []
    alive, deadline = list(children), float("inf")
    while alive:
        psutil.wait_procs(alive, timeout=1.0)
        ended = [child for child in alive if child.poll() is not None]
        alive = [child for child in alive if child not in ended]
        statuses = [_shell_status(child.returncode) for child in ended]
        failures += [status for status in statuses if status not in (0, *STOPPED)]
        if any(statuses) and deadline == float("inf"):
            deadline = time.monotonic() + _PEERS_S
        if time.monotonic() > deadline:
            for child in alive:
                child.kill()
    return failures


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
    options = parser.parse_args(arguments)
    if options.parent:
        die_with(options.parent)
    if options.processes * options.nodes == 1:
        # what ties this process to its starter holds
        os.execvp(options.command[0], options.command)
    # each by itself would take them all
    threads = str(max(1, (os.cpu_count() or 1) // options.processes))
    common = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
    port = PORT if options.nodes > 1 else free_port()
    ranks = variables(options.node, options.nodes, options.processes, options.main, port)
    sys.exit(run_all(options.command, [{**common, **rank} for rank in ranks]))


if __name__ == "__main__":
    main()
