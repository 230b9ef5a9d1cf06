"""A real S3-compatible server on this host, and fresh buckets in it; child processes of a test
reach it too.
"""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from s3fs import S3FileSystem

from tests.support.waiting import free_port, listens, until

PAGE = 100  # names that the server gives at a time; S3 gives a thousand
_STARTS_WITHIN_S = 60


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """A server while the block lasts, and its address; the environment points every S3 client at
    it.
    """
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    address = f"http://127.0.0.1:{port}"
    empty = str(folder / "none")
    variables = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": empty,  # a developer's own profile must not leak in
        "AWS_SHARED_CREDENTIALS_FILE": empty,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    away = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL")
    settings = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=settings
    )
    with pytest.MonkeyPatch.context() as environment:
        try:
            for name, value in variables.items():
                environment.setenv(name, value)
            for name in away:
                environment.delenv(name, raising=False)
            until(partial(listens, port), "answer of moto's server", _STARTS_WITHIN_S, server)
            S3FileSystem.clear_instance_cache()
            yield address
        finally:
            S3FileSystem.clear_instance_cache()  # they remember this server
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server for all tests."""
    with s3_server(tmp_path_factory.mktemp("aws")) as address:
        yield address


@pytest.fixture
def behind(object_store: str) -> Any:
    """A client of its own, that writes and deletes behind our back."""
    return boto3.client("s3", endpoint_url=object_store)


@pytest.fixture
def bucket(behind: Any) -> str:
    """Name of a fresh bucket."""
    name = f"obbligato-{uuid.uuid4().hex}"
    behind.create_bucket(Bucket=name)
    return name
