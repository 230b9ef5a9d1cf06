"""Runs a Python module with every gRPC server it opens bound to 127.0.0.1.

    python infra/portable/loopback.py \\
        apache_beam.runners.portability.local_job_service_main --port=8099

Beam's local job service listens on all interfaces ([::]) without authentication and has no option
to change that.
"""

import runpy
import sys
from typing import Any

import grpc

_server = grpc.server


def _loopback_server(*args: Any, **options: Any) -> grpc.Server:
    """A gRPC server that takes [::] and 0.0.0.0 for 127.0.0.1."""
    server = _server(*args, **options)
    add_port = server.add_insecure_port

    def add_loopback_port(address: str) -> int:
        host, _, port = address.rpartition(":")
        return add_port(f"127.0.0.1:{port}" if host in ("[::]", "0.0.0.0", "") else address)

    server.add_insecure_port = add_loopback_port
    return server


if __name__ == "__main__":
    grpc.server = _loopback_server
    module, sys.argv = sys.argv[1], sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
