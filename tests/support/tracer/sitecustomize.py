"""Notes each file of the project of which a function runs, one a line, in every process that starts
with this folder on `PYTHONPATH` and a folder for notes in ``NOTE_ENTERED``.

What runs while a module is imported is not noted.
"""

import os
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = f"{Path(__file__).parents[3]}/"
ROOMS = tuple(f"{ROOT}{room}/" for room in ("flows", "pipelines", "schemas", "training"))


def note_entered(folder: str) -> None:
    """Note files in a new file of a folder from here on."""
    seen: set[CodeType] = set()
    files: set[str] = set()
    notes = (Path(folder) / f"{os.getpid()}").open("a", buffering=1)

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or code in seen or not code.co_filename.startswith(ROOMS):
            return
        if code.co_name == "<module>" or _is_importing(frame):
            return
        seen.add(code)
        file = code.co_filename.removeprefix(ROOT)
        if file not in files:
            files.add(file)
            notes.write(f"{file}\n")

    threading.setprofile(note)
    sys.setprofile(note)


def _is_importing(frame: FrameType) -> bool:
    at: FrameType | None = frame
    while at is not None:
        called_by = at.f_back
        if (
            at.f_code.co_name == "<module>"
            and called_by is not None
            and "importlib" in called_by.f_code.co_filename
        ):
            return True
        at = called_by
    return False


if "NOTE_ENTERED" in os.environ:
    note_entered(os.environ["NOTE_ENTERED"])
