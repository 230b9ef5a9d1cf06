"""A whole build with its sources and its output on an object store: the same bytes as on a disk,
resumed after a kill.
"""

import hashlib
import io
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from flows.build.local import build, verify_build
from pipelines.beam.options import Engine
from pipelines.storage.store import Store
from schemas.dataset import Dataset
from tests.support import building
from tests.support.tone_corpus import PLAIN

pytest_plugins = ["tests.support.servers.object_store"]
SONGS = 3


class Stored(NamedTuple):
    """Sources on an object store (a table, and the prefix of the audio that it names), and a build
    of them there.
    """

    bucket: str
    sources: list[str]
    out: str
    dataset: Dataset
    client: Any


@pytest.fixture(scope="module")
def stored(object_store: str) -> Stored:
    import boto3

    client, bucket = boto3.client("s3", endpoint_url=object_store), "obbligato-whole-build"
    client.create_bucket(Bucket=bucket)
    rows = ["uri,caption,split"]
    for number in range(SONGS):
        seconds = np.arange(9 * 44_100) / 44_100
        flac = io.BytesIO()
        soundfile.write(
            flac, 0.3 * np.sin(2 * np.pi * (200 + 10 * number) * seconds), 44_100, format="FLAC"
        )
        client.put_object(Bucket=bucket, Key=f"music/{number}.flac", Body=flac.getvalue())
        rows.append(f"s3://{bucket}/music/{number}.flac,Tone number {number}.,train")
    client.put_object(Bucket=bucket, Key="tables/songs.csv", Body="\n".join(rows).encode())
    sources, out = [f"s3://{bucket}/tables/songs.csv", f"s3://{bucket}/music"], f"s3://{bucket}/out"
    return Stored(
        bucket, sources, out, build(sources, out, PLAIN, Engine(), lambda _: None), client
    )


def objects(stored: Stored, out: str) -> Iterator[tuple[str, Any]]:
    """Names and facts of the objects below an output folder."""
    prefix = f"{out.removeprefix(f's3://{stored.bucket}/')}/"
    for page in stored.client.get_paginator("list_objects_v2").paginate(
        Bucket=stored.bucket, Prefix=prefix
    ):
        for row in page.get("Contents", []):
            yield row["Key"].removeprefix(prefix), row


def digests(stored: Stored, out: str) -> dict[str, str]:
    """SHA-256 of every file that the promise of equal bytes covers, but for the list of sources."""
    promised = [
        name
        for name, _ in objects(stored, out)
        if not name.startswith("runs/") and not name.endswith(".done.json")
    ]
    return {name: hashlib.sha256(Store(out).read_bytes(name)).hexdigest() for name in promised}


def test_a_build_on_an_object_store_has_the_bytes_of_one_on_a_disk(
    stored: Stored, tmp_path: Any
) -> None:
    local = build(stored.sources, str(tmp_path / "out"), PLAIN, Engine(), lambda _: None)
    assert stored.dataset == local
    assert (stored.dataset.inputs.counts, stored.dataset.samples.written) == (
        {"in": 2 * SONGS, "used": SONGS, "duplicate": SONGS},
        SONGS,
    )
    assert digests(stored, stored.out) == building.digests(tmp_path / "out")


def test_a_second_build_writes_no_file_of_a_stage_and_the_first_is_verified(stored: Stored) -> None:
    stages = (
        "probed/",
        "clips/",
        "annotations/",
        "verdicts/",
        "variants/",
        "captions/",
        "labels/",
        "shards/",
        "verified/",
    )

    def written() -> dict[str, Any]:
        return {
            name: row["LastModified"]
            for name, row in objects(stored, stored.out)
            if name.startswith(stages)
        }

    before = written()
    assert len([name for name in before if name.endswith(".done.json")]) >= 6
    assert build(stored.sources, stored.out, PLAIN, Engine(), lambda _: None) == stored.dataset
    assert written() == before
    assert verify_build(stored.out, Engine(), lambda _: None) == stored.dataset


def killed_after_markers(
    stored: Stored, out: str, process: "subprocess.Popen[bytes]", markers: int
) -> bool:
    """Kill a build on the object store once so many bucket markers stand; false where it ended
    first.
    """
    while sum(name.endswith(".done.json") for name, _ in objects(stored, out)) < markers:
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        return False
    building.kill_tree(process)
    return True


def test_a_killed_build_on_an_object_store_is_finished_with_the_same_bytes(
    stored: Stored, tmp_path: Any
) -> None:
    out = f"s3://{stored.bucket}/killed"
    process = building.started(stored.sources, tmp_path / "out", PLAIN, "--out", out)
    assert killed_after_markers(stored, out, process, 4)
    assert not Store(out).exists("dataset.json")
    assert build(stored.sources, out, PLAIN, Engine(), lambda _: None) == stored.dataset
    assert digests(stored, out) == digests(stored, stored.out)
