"""The server that Prefect starts by itself for `--slices`, asked by another user of the machine.

The review's table J.
"""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.support.building import ROOT
from tests.support.waiting import until


def answer(port: int, path: str, body: bytes | None = None) -> int:
    """The status of an answer to somebody who knows no password; 0 where nobody answers yet."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/{path}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=5
        ) as answered:
            return int(answered.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def server_of(process: psutil.Process) -> psutil.Process | None:
    return next(
        (
            child
            for child in process.children(recursive=True)
            if "prefect.server.api.server:create_app" in child.cmdline()
        ),
        None,
    )


@pytest.mark.slow
def test_j_a_server_of_our_own_answers_nobody_else(songs: list[str], tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "build",
        *songs,
        "--out",
        str(out),
        "--slices",
        "2",
        "--set",
        "ingest.clip_s=8",
    ]
    command += [
        "--set",
        "vary.speeds=0",
        "--set",
        "vary.volumes=0",
        "--set",
        "vary.semitones=[]",
        "--set",
        "verify.relabel_clips=0",
    ]
    build = psutil.Popen(
        command,
        cwd=ROOT,
        env={**without, "PREFECT_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        server = until(lambda: server_of(build), "Prefect's server", 180)
        assert server is not None
        port = int(server.cmdline()[server.cmdline().index("--port") + 1])
        until(lambda: answer(port, "health") == 200, "its answer", 180)
        assert answer(port, "flow_runs/filter", b"{}") == 401
        assert answer(port, "flows/", b'{"name": "mine"}') == 401
        [password] = {
            server.environ()["PREFECT_SERVER_API_AUTH_STRING"],
            build.environ().get("PREFECT_API_AUTH_STRING", ""),
        } - {""}
        assert len(password) > 40
        assert not [
            one
            for one in (build, *build.children(recursive=True))
            if password in " ".join(one.cmdline())
        ]
        output = build.communicate()[0].decode()
        assert build.returncode == 0, output
    finally:
        for child in (*build.children(recursive=True), build) if build.is_running() else ():
            child.kill()
    assert "401" not in output
    assert password not in output
    written = [path for folder in (home, out) for path in folder.rglob("*") if path.is_file()]
    assert (out / "dataset.json") in written
    assert not [path for path in written if password.encode() in path.read_bytes()]
