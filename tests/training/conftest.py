"""What tests of training share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.runs import corpus


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Tests of nets this small wait for threads longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of four songs, with latents; nobody changes them."""
    return corpus(tmp_path_factory.mktemp("four-songs"), songs=4)
