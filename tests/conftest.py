"""Fixtures that several tests share: a folder of composed pieces, and one build of it."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from flows.build.local import build
from pipelines.beam.options import Engine
from pipelines.stages.output.close import stated_dataset
from pipelines.storage.store import Store
from pipelines.synthesis.songs import write_songs
from pipelines.trust import trusted
from tests.support.order import LongFilesFirst, long_first
from tests.support.shared import left_alone, shared_folder
from tests.support.small_build import SMALL, Built


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = long_first(items)


@pytest.hookimpl(optionalhook=True)  # without xdist there is one worker
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongFilesFirst | None:
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # by number of tests: the short ones would come first
    return LongFilesFirst(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests name by hand is not remembered for whoever runs them; processes that they start
    inherit it.
    """
    os.environ[trusted.FOLDER] = str(tmp_path_factory.mktemp("configuration"))


@pytest.fixture(scope="session", autouse=True)
def heeded_interrupts() -> None:
    """Ctrl-C is heeded as at a terminal: a run behind `nohup` or in the background ignores it, and
    so would whatever it starts, for which tests would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A manifest of four pieces: two in train, one each in validation and test."""
    folder = shared_folder(tmp_path_factory, "songs", lambda new: write_songs(new, songs=4))
    return [str(next(folder.glob("*.csv")))]


@pytest.fixture(scope="session")
def built(songs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """One undisturbed build of them with two workers: tests change copies."""
    folder = shared_folder(
        tmp_path_factory,
        "built",
        lambda new: build(songs, str(new / "out"), SMALL, Engine(workers=2), lambda _: None),
    )
    out = folder / "out"
    # whichever worker built it, this one named its sources too
    trusted.trust(str(out), trusted.reached(songs, SMALL))
    with left_alone(out):
        yield Built(songs, out, SMALL, stated_dataset(Store(str(out))))
