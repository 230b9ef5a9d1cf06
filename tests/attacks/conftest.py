"""What attacks share: a build of a stranger, and our command as it runs in a folder of theirs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.building import ROOT
from tests.support.small_build import Built

Said = subprocess.CompletedProcess[str]


def obbligato(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> Said:
    """The command as its installed script runs it: its own folder, not the working folder, comes
    first on the path.
    """
    command = [
        sys.executable,
        "-P",
        "-c",
        "from flows.cli import main; main()",
        *map(str, arguments),
    ]
    whole = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        command, cwd=cwd, env=whole, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def strange(built: Built, tmp_path: Path) -> Path:
    """A whole build that a stranger made: nobody here has named anything for it."""
    out = tmp_path / "strange"
    shutil.copytree(built.out, out)
    return out


@pytest.fixture
def in_recipe(strange: Path) -> Callable[[str, Any], None]:
    """Change one line of the stranger's recipe, as somebody does who hides it: nothing that vouched
    for it is left.
    """

    def change(line: str, to: str) -> None:
        recipe = strange / "recipe.toml"
        text = recipe.read_text()
        assert text.count(f"\n{line}\n") == 1
        recipe.write_text(text.replace(f"\n{line}\n", f"\n{to}\n"))
        (strange / "begun.json").unlink(missing_ok=True)
        shutil.rmtree(strange / "versions", ignore_errors=True)

    return change
