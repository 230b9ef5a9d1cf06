"""The pool that starts Beam's Python workers on a machine, for whoever asks it to.

    python -m pipelines.beam.worker_pool --port 50000

Beam's own pool knows a worker by its name alone, listens on every interface, and hands SIGTERM to
nobody. Two task managers, or two executors, of a machine name their workers alike ("1-1"), so that
the one's stop would kill the other's in the middle of a bundle. Here a worker belongs to the
connection that asked for it, so one pool serves all of a machine, and what listens is 127.0.0.1
unless told otherwise: nobody is asked for a password.
"""

import argparse
import signal
import threading
from collections.abc import Sequence
from typing import Any, Final

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import (
    BeamFnExternalWorkerPoolServicer,
    kill_process_gracefully,
)
from apache_beam.utils import thread_pool_executor

# pings that a runner sends to keep its connection are no reason to end it
_PINGS: Final = [("grpc.http2.max_pings_without_data", 0), ("grpc.http2.max_ping_strikes", 0)]


class WorkerPool(BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]  # Beam has no types
    """Starts and stops workers, each of them a process that belongs to who asked for it.

    `boot` is Beam's boot program, which an image has; without, workers run the first Python on
    PATH.
    """

    def __init__(self, boot: str | None = None) -> None:
        super().__init__(use_process=True, container_executable=boot)
        self._turn = threading.Lock()

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Start a worker for the one who asks; what fails is said in the answer."""
        with self._turn:
            answer = super().StartWorker(request, context)
            started = self._worker_processes.pop(request.worker_id, None)
            if started is not None:
                self._worker_processes[_owned(request.worker_id, context)] = started
        return answer

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Stop a worker of the one who asks, and nobody else's of that name."""
        name = _owned(request.worker_id, context)
        return super().StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=name), context)

    def close(self) -> None:
        """Stop all workers."""
        for process in self._worker_processes.values():
            kill_process_gracefully(process)


def _owned(worker_id: str, context: Any) -> str:
    return f"{context.peer()} {worker_id}"


def served(pool: WorkerPool, address: str) -> tuple[grpc.Server, int]:
    """A server of the pool that has started, and its port: `address` may leave it open (0)."""
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=_PINGS)
    port = server.add_insecure_port(address)
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.start()
    return server, port


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; workers end with the pool."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.beam.worker_pool")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="interface to listen on")
    parser.add_argument("--boot", help="Beam's boot program, which an image has")
    given = parser.parse_args(arguments)
    pool, ended = WorkerPool(given.boot), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    server, _ = served(pool, f"{given.host}:{given.port}")
    ended.wait()
    server.stop(0)
    pool.close()


if __name__ == "__main__":
    main()
