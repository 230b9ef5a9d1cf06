"""Which tests a worker gets, and when: long files first, and one Prefect server for all."""

from collections.abc import Sequence
from typing import Final

import pytest
from xdist.scheduler import LoadFileScheduling

# Of files in these folders each test takes seconds: begun last, they would run on alone. Those of a
# folder that stands for itself stay together, in one worker: their session's server is dear.
TOGETHER: Final = ("tests/flows/deployments/",)
LONG: Final = (
    *TOGETHER,
    "tests/training/run/",
    "tests/test_readmes.py",
    "tests/flows/build/",
    "tests/flows/launchers/",
    "tests/attacks/",
    "tests/flows/",
)


class LongFilesFirst(LoadFileScheduling):  # type: ignore[misc]  # xdist is not typed
    """Files go to workers in the order of the collection, whole; so do folders of `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def rank(nodeid: str) -> int:
    """Where a test belongs in the order of a run.

    >>> rank("tests/attacks/test_a_code.py::test_a1") < rank("schemas/pitch.py::schemas.pitch.Key")
    True
    """
    starts = (index for index, start in enumerate(LONG) if nodeid.startswith(start))
    return next(starts, len(LONG))


def long_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Tests of long files before all others; otherwise in the order in which they were found."""
    return sorted(items, key=lambda item: rank(item.nodeid))
