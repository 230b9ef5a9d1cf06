"""Beam's Java job server for Flink, started by us, with a stand-in for Java."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

import psutil
import pytest

from pipelines.beam import job_server
from pipelines.beam.job_server import with_job_server
from pipelines.beam.options import Engine, engine_of, option
from pipelines.errors import PipelineError
from tests.support import building
from tests.support.waiting import until

MASTER: Final = "flink_master=flink:8081"
# Notes each start, then answers at its port as a job server would.
JAVA: Final = """\
#!{python}
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
import grpc

server = grpc.server(ThreadPoolExecutor(1))
server.add_insecure_port("127.0.0.1:" + sys.argv[sys.argv.index("--job-port") + 1])
server.start()
with open({starts!r}, "a") as out:
    out.write(json.dumps([os.getpid(), sys.argv[1:]]) + "\\n")
server.wait_for_termination()
"""
# Two jobs of one build, which then goes on.
BUILD: Final = """
import sys
from pipelines.beam.job_server import with_job_server
from pipelines.beam.options import engine_of, option

for _ in range(2):
    engine = with_job_server(engine_of(1, "FlinkRunner", sys.argv[1:]))
    print(option(engine, "job_endpoint"), flush=True)
sys.stdin.read()
"""


def program(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    file = tmp_path / "job-server.jar"
    file.write_bytes(b"a jar")
    return file


def flink(*options: str) -> Engine:
    return engine_of(1, "FlinkRunner", [MASTER, *options])


def refusal(*options: str) -> str:
    with pytest.raises(PipelineError) as refused:
        with_job_server(flink(*options))
    return str(refused.value)


def test_one_job_server_serves_all_jobs_of_a_build_and_dies_with_it(
    tmp_path: Path, jar: Path
) -> None:
    starts = tmp_path / "starts"
    java = program(tmp_path / "java", JAVA.format(python=sys.executable, starts=str(starts)))
    options = [MASTER, f"job_server_java_launcher={java}", f"flink_job_server_jar={jar}"]
    with subprocess.Popen(
        [sys.executable, "-c", BUILD, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(building.ROOT)},
    ) as build:
        assert build.stdout is not None
        first, second = (build.stdout.readline().strip() for _ in range(2))
        [(pid, arguments)] = [json.loads(line) for line in starts.read_text().splitlines()]
        server = psutil.Process(pid)
        assert os.getsid(pid) != os.getsid(build.pid)  # a terminal's Ctrl-C does not reach it
        build.kill()
    assert first == second == f"localhost:{arguments[arguments.index('--job-port') + 1]}"
    assert arguments[:4] == ["-jar", str(jar), "--flink-master", "http://flink:8081"]
    until(partial(_gone, server), "end of the job server")


def _gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_of_one_that_does_not_start_the_last_line_is_told(
    tmp_path: Path, jar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_server, "_LOOK_EVERY_S", 0.05)
    java = program(
        tmp_path / "java", "#!/bin/sh\necho warning\necho no main manifest >&2\nexit 1\n"
    )
    assert refusal(f"job_server_java_launcher={java}", f"flink_job_server_jar={jar}") == (
        "Beam's job server for Flink does not start (no main manifest); it needs Java 11 or 17, "
        "or name one that runs by --beam job_endpoint=…"
    )


def test_without_java_it_is_asked_for(tmp_path: Path, jar: Path) -> None:
    java = tmp_path / "java"
    assert refusal(f"job_server_java_launcher={java}", f"flink_job_server_jar={jar}") == (
        f"Beam's job server for Flink does not start ({java}: No such file or directory); it "
        "needs Java 11 or 17, or name one that runs by --beam job_endpoint=…"
    )


def test_a_job_server_s_file_that_is_missing_is_named(tmp_path: Path) -> None:
    jar = tmp_path / "none.jar"
    assert refusal(f"flink_job_server_jar={jar}") == (
        f"--beam flink_job_server_jar={jar}: there is no such file; name the job server that fits "
        "Beam and Flink, or leave it out, and it is downloaded"
    )


@pytest.mark.parametrize(
    "engine",
    [
        flink("job_endpoint=localhost:8099"),
        flink("flink_submit_uber_jar"),
        engine_of(1, "FlinkRunner", ["flink_master=[local]"]),
        engine_of(1, "PortableRunner", ["job_endpoint=localhost:8099", MASTER]),
    ],
    ids=lambda engine: " ".join(engine.options),
)
def test_where_another_serves_none_is_started(engine: Engine) -> None:
    assert with_job_server(engine) is engine
    assert option(engine, "job_endpoint") in ("", "localhost:8099")
