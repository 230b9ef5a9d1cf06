"""What all workers of a run read is made once, and nobody changes it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.shared import left_alone, shared_folder


@pytest.fixture
def worker_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], pytest.TempPathFactory]:
    """Makes what stands for a worker of a run: it has a temporary folder beside those of others."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")

    def made(name: str) -> pytest.TempPathFactory:
        (tmp_path / name).mkdir()
        factory = pytest.TempPathFactory(None, 3, "all", None, _ispytest=True)
        factory._basetemp = tmp_path / name
        return factory

    return made


def test_workers_that_ask_at_once_read_one_folder(
    worker_of: Callable[[str], pytest.TempPathFactory],
) -> None:
    asked = threading.Barrier(2)
    makes: list[Path] = []

    def make(folder: Path) -> None:
        (folder / "half").touch()
        makes.append(folder)
        threading.Event().wait(0.2)
        (folder / "half").rename(folder / "whole")

    def ask(factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
        asked.wait()
        folder = shared_folder(factory, "songs", make)
        return folder, [path.name for path in folder.iterdir()]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(ask, [worker_of("gw0"), worker_of("gw1")]))
    assert found == [(makes[0], ["whole"])] * 2
    assert len(makes) == 1


def test_what_could_not_be_made_is_made_by_the_next_who_asks(
    worker_of: Callable[[str], pytest.TempPathFactory],
) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("no music")

    with pytest.raises(ValueError, match="no music"):
        shared_folder(worker_of("gw0"), "songs", fail)
    found = shared_folder(worker_of("gw1"), "songs", lambda folder: (folder / "whole").touch())
    assert [path.name for path in found.iterdir()] == ["whole"]


def disturb(folder: Path) -> None:
    with left_alone(folder):
        (folder / "changed").write_text("other")
        (folder / "made").touch()
        (folder / "removed").unlink()


def test_a_file_that_a_test_changes_makes_or_removes_is_named(tmp_path: Path) -> None:
    for name in ("kept", "changed", "removed"):
        (tmp_path / name).write_text(name)
    with pytest.raises(AssertionError, match=r"all share, .*: changed, made, removed$"):
        disturb(tmp_path)
    with left_alone(tmp_path):
        (tmp_path / "runs").mkdir()
        (tmp_path / "runs/report.json").touch()
