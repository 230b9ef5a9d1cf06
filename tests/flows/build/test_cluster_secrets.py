"""A build through a cluster that fails in a worker: what its user is told, and that no secret is
in anything that was written.
"""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from flows.build.recipe_files import recipe_toml
from pipelines.trust import trusted
from tests.support.building import ROOT, telling, written_below
from tests.support.servers import portable
from tests.support.tone_corpus import PLAIN

pytest_plugins = ["tests.support.servers.object_store"]
pytestmark = pytest.mark.slow  # a whole build through servers
SECRETS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIAHUSH0THE0KEYS0ID",
    "AWS_SECRET_ACCESS_KEY": "hushhushTheSecretKeyItself0123456789",
    "AWS_SESSION_TOKEN": "hushhushTheSessionsToken",
}
# Loaded by each Python of the cluster: there the last stage of a bucket meets a defect.
DEFECT: Final = """\
import importlib.metadata, sys

whole = importlib.metadata.version

def version(name):
    bucket = sys.modules.get("pipelines.engine.bucket")
    if bucket is not None and bucket._hand.stage == "verify":
        raise KeyError("no such chord")
    return whole(name)

importlib.metadata.version = version
"""


class Failed(NamedTuple):
    """A build that has failed: what its user has read, and all that was written, by name."""

    status: int
    told: str
    written: dict[str, bytes]


@pytest.fixture(scope="module")
def failed(object_store: str, tmp_path_factory: pytest.TempPathFactory) -> Failed:
    """One tone on an object store, built there by Beam's workers, whose keys are in the environment
    of all.
    """
    import boto3

    folder = tmp_path_factory.mktemp("secrets")
    client, bucket = boto3.client("s3", endpoint_url=object_store), "obbligato-secrets"
    client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=bucket, Key="music/tone.flac", Body=tone())
    for name in ("tmp", "configuration", "defect"):
        (folder / name).mkdir()
    (folder / "defect/sitecustomize.py").write_text(DEFECT)
    (folder / "recipe.toml").write_text(recipe_toml(PLAIN, comments=False))
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SECRETS.items():
            environment.setenv(name, value)
        environment.setenv("TMPDIR", str(folder / "tmp"))
        environment.setenv(trusted.FOLDER, str(folder / "configuration"))
        path = os.pathsep.join((str(folder / "defect"), str(ROOT)))
        with portable.servers(folder / "cluster", path=path) as servers:
            assert SECRETS.items() <= servers.pool.environ().items()
            command = ["build", f"s3://{bucket}/music", "--out", f"s3://{bucket}/out"]
            done = subprocess.run(
                [sys.executable, "-m", "flows.cli", *command, "--recipe", folder / "recipe.toml",
                 *servers.options],
                cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
                check=False, timeout=300,
            )  # fmt: skip
        written = {"stdout": done.stdout, "stderr": done.stderr}
        written |= written_below(folder) | dict(stored(client, bucket))
    return Failed(done.returncode, done.stderr.decode(), written)


def tone() -> bytes:
    flac = io.BytesIO()
    wave = 0.3 * np.sin(2 * np.pi * 200 * np.arange(9 * 44_100) / 44_100)
    soundfile.write(flac, wave, 44_100, format="FLAC")
    return flac.getvalue()


def stored(client: Any, bucket: str) -> Iterator[tuple[str, bytes]]:
    """All objects; of tables also what is compressed in them."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for row in page.get("Contents", []):
            name = row["Key"]
            content = client.get_object(Bucket=bucket, Key=name)["Body"].read()
            if name.endswith(".parquet"):
                content += repr(pq.read_table(io.BytesIO(content)).to_pydict()).encode()
            yield name, content


def test_a_defect_in_a_worker_is_one_line_on_the_terminal_that_names_the_bucket(
    failed: Failed,
) -> None:
    assert failed.status == 1
    assert failed.told == (
        "obbligato: stage verify, bucket train-00000, failed: KeyError: 'no such chord'\n"
    )


def test_no_key_of_the_object_store_is_in_anything_that_was_written(failed: Failed) -> None:
    # what is searched is all there: logs with the defect's own words, and the build's files
    assert {Path(name).name for name in telling(failed.written, "no such chord")} >= {
        "stderr",
        "server-0.log",
    }
    folders = {name.split("/")[1] for name in failed.written if name.startswith("out/")}
    assert folders >= {"annotations", "shards", "runs"}
    assert "out/shards/train-00000.done.json" in failed.written
    assert telling(failed.written, *SECRETS.values()) == []
