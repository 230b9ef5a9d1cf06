"""The notebook runs from top to bottom, on a build."""

import contextlib
import io
import json
from typing import Any

import pytest

from tests.support.building import ROOT
from tests.support.small_build import Built

NOTEBOOK = ROOT / "infra/notebooks/corpus.ipynb"


def cells() -> list[str]:
    found = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


def test_its_cells_run_in_order(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUS", str(built.out))
    space: dict[str, Any] = {"__name__": "__main__"}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for number, cell in enumerate(cells()):
            exec(compile(cell, f"cell {number}", "exec"), space)
    assert space["records"][0].sample.key in out.getvalue()
    assert len(space["seen"]) == len(space["records"])
    assert space["waves"].shape[0] == 2


def test_it_holds_no_output() -> None:
    found = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell.get("outputs") for cell in found)
    assert NOTEBOOK.stat().st_size < 10_000
