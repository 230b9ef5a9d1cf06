"""Beam's Java job server for Flink, started once a build and kept: a start takes longer than a
small step, and Beam's own runner starts one for each job.
"""

import atexit
import shutil
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import grpc
from apache_beam.runners.portability.flink_runner import FlinkJarJobServer, FlinkRunner

from pipelines.beam.options import Engine, option
from pipelines.beam.quiet_import import PipelineOptions
from pipelines.engine.child_process import die_with_parent, spawn
from pipelines.errors import PipelineError, WrongArgument

_STARTS_WITHIN_S: Final = 120.0
_LOOK_EVERY_S: Final = 1.0


def with_job_server(engine: Engine) -> Engine:
    """The engine with this process's own job server, where it is Flink's runner that names none.

    Raises `PipelineError` where it does not start.
    """
    master = option(engine, "flink_master")
    if (
        engine.runner != "FlinkRunner"
        or master.startswith("[")  # Beam's "[local]": a Flink inside the job server
        or option(engine, "job_endpoint")
        or option(engine, "flink_submit_uber_jar")
    ):
        return engine
    return engine._replace(options=(*engine.options, f"--job_endpoint={_started(engine.options)}"))


@cache
def _started(options: tuple[str, ...]) -> str:
    """The address of a job server that dies with this process, and is out of Ctrl-C's reach: a job
    can still be cancelled through it.
    """
    folder = Path(tempfile.mkdtemp(prefix="obbligato-job-server-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command, endpoint = _command(options, folder)
    log = folder / "log"
    process = _spawned(command, log)
    atexit.register(process.kill)
    with grpc.insecure_channel(endpoint) as channel:
        ready = grpc.channel_ready_future(channel)
        for _ in range(int(_STARTS_WITHIN_S / _LOOK_EVERY_S)):
            try:
                ready.result(_LOOK_EVERY_S)
            except grpc.FutureTimeoutError:
                if process.poll() is not None:
                    break
            else:
                return endpoint
        ready.cancel()
    process.kill()
    said = log.read_text(errors="replace").strip().rpartition("\n")[2]
    raise _not_started(said or "it says nothing")


def _spawned(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    """The process of a job server that writes to a log.

    Raises `PipelineError` where there is no Java.
    """
    try:
        with log.open("wb") as out:
            return spawn(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
    except OSError as error:
        raise _not_started(f"{command[0]}: {error.strerror}") from error


def _not_started(why: str) -> PipelineError:
    return PipelineError(
        f"Beam's job server for Flink does not start ({why}); it needs Java 11 or 17, or name one "
        "that runs by --beam job_endpoint=…"
    )


def _command(options: tuple[str, ...], folder: Path) -> tuple[list[str], str]:
    """The command that starts it, and where it will be asked.

    Raises `PipelineError` where its program cannot be had.
    """
    jar = option(Engine(options=options), "flink_job_server_jar")
    if jar and "://" not in jar and not Path(jar).is_file():
        raise WrongArgument(
            f"--beam flink_job_server_jar={jar}: there is no such file; name the job server that "
            "fits Beam and Flink, or leave it out, and it is downloaded"
        )
    given = PipelineOptions(
        [*options, f"--job_port={_free_port()}", "--artifact_port=0", f"--artifacts_dir={folder}"],
        flink_master=FlinkRunner.add_http_scheme(option(Engine(options=options), "flink_master")),
    )
    try:
        command, endpoint = FlinkJarJobServer(given).subprocess_cmd_and_endpoint()
    except Exception as error:  # whatever a download raises
        raise PipelineError(
            f"Beam's job server for Flink cannot be had ({error}); name its file by "
            "--beam flink_job_server_jar=…, or one that runs by --beam job_endpoint=…"
        ) from error
    return [str(word) for word in command], str(endpoint)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
