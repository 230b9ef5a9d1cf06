"""A text encoder and imported models that several files of tests read."""

from pathlib import Path

import pytest

from tests.training.published.layouts import mustango, small_t5
from training.published.importing import import_published


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_t5(tmp_path_factory.mktemp("text") / "t5")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """Mustango's layout."""
    return mustango(tmp_path_factory.mktemp("published") / "mustango", text)


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, published: Path) -> Path:
    """The same as a run of ours."""
    out = tmp_path_factory.mktemp("imported") / "run"
    import_published(str(published), str(out))
    return out
