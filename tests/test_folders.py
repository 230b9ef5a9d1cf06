"""The folder tree is the first map: no folder is a corridor."""

import subprocess
from collections import Counter
from pathlib import PurePath

from tests.support.building import ROOT

MOST = 25  # files that an eye takes in


def test_no_folder_holds_more_modules_than_an_eye_takes_in() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(listed) > 500
    sizes = Counter(str(PurePath(name).parent) for name in listed)
    assert {folder: size for folder, size in sizes.items() if size > MOST} == {}
