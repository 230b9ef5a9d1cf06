"""Slices on a Dask cluster, of which a worker is killed with all that it has started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.building import ROOT, digests
from tests.support.servers.dask_cluster import cluster, kill
from tests.support.servers.prefect_server import Server
from tests.support.small_build import Built
from tests.support.waiting import until


@pytest.mark.slow
def test_slices_give_the_bytes_of_a_build_although_a_worker_is_killed(
    server: Server, built: Built, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_bytes((built.out / "recipe.toml").read_bytes())
    environment = {**server.environment, "PYTHONPATH": str(ROOT)}
    with cluster(tmp_path, environment) as (address, workers):
        command = [
            sys.executable,
            "-m",
            "flows.cli",
            "build",
            *built.sources,
            "--out",
            str(tmp_path / "out"),
            "--recipe",
            str(recipe),
        ]
        build = subprocess.Popen(
            [*command, "--slices", "3", "--dask", address], env={**os.environ, **environment}
        )
        until(
            lambda: list((tmp_path / "out" / "annotations").glob("*.done.json")),
            "annotated bucket",
            180,
        )
        kill(workers[0])
        assert build.wait(timeout=300) == 0
    assert digests(tmp_path / "out") == digests(built.out)
