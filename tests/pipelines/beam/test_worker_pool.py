"""Two that ask one pool for a worker of the same name get one each, and stop their own."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipelines.beam.worker_pool import WorkerPool, served

NAME = "1-1"  # as every task manager calls its first worker
APART = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own, as another process has


class Asker:
    """One that asks a pool for a worker, as a task manager does."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._pool: Any = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)

    def start(self) -> None:
        """Ask for it."""
        assert not self._pool.StartWorker(
            beam_fn_api_pb2.StartWorkerRequest(worker_id=NAME), timeout=10
        ).error

    def stop(self) -> None:
        """Have it stopped."""
        request = beam_fn_api_pb2.StopWorkerRequest(worker_id=NAME)
        assert not self._pool.StopWorker(request, timeout=10).error


@pytest.fixture
def askers(tmp_path: Path) -> Iterator[tuple[Asker, Asker]]:
    """Two of one pool, whose workers do nothing."""
    boot = tmp_path / "boot"
    boot.write_text("#!/bin/sh\nexec sleep 60\n")
    boot.chmod(0o755)
    pool = WorkerPool(str(boot))
    server, port = served(pool, "127.0.0.1:0")
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", APART)) for _ in "ab"
        )
        yield Asker(first), Asker(second)
    server.stop(0)
    pool.close()
    assert workers() == []


def workers() -> list[int]:
    """Workers that live: each is its script, and soon the program that this becomes."""
    below = psutil.Process().children()
    return [
        one.pid
        for one in below
        if one.status() != psutil.STATUS_ZOMBIE and one.name() in ("boot", "sleep")
    ]


def test_a_worker_is_stopped_by_whoever_asked_for_it_and_by_nobody_else(
    askers: tuple[Asker, Asker],
) -> None:
    one, other = askers
    one.start()
    [first] = workers()
    other.start()
    [second] = set(workers()) - {first}
    other.stop()
    assert workers() == [first]
    other.stop()
    assert workers() == [first]
    one.stop()
    assert workers() == []
    one.start()
    assert len(workers()) == 1  # which the pool's own end stops
    assert second not in workers()
