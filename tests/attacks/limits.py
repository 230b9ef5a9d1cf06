"""Work of a test in a process of its own, whose memory and time are measured, and which ends where
a limit is passed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = str(Path(__file__).parents[2])
_PROGRAM = """
import json, resource, sys
from pipelines.inputs.listing import list_inputs
from schemas.recipe import IngestRecipe
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
listed = list_inputs(sys.argv[2:], IngestRecipe(**json.loads(sys.argv[1])))
rows = [(row.row.rpartition("/")[2], row.code, row.message) for row in listed]
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle
most = own + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"rows": rows, "memory_mb": most / 1024}))
"""


class Listed(NamedTuple):
    """What a listing gave: each row's name, code and message; and MiB beyond those of an idle
    process, its children's included.
    """

    rows: list[tuple[str, str, str]]
    memory_mb: float

    @property
    def codes(self) -> dict[str, str]:
        """Code by row."""
        return {name: code for name, code, _ in self.rows}


def listed(*sources: Path | str, within_s: float = 20, **recipe: Any) -> Listed:
    """The listing of some sources.

    Raises `TimeoutExpired` where it takes longer than `within_s`.
    """
    command = [sys.executable, "-c", _PROGRAM, json.dumps(recipe), *map(str, sources)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((_ROOT, *(path for path in sys.path if path))),
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=within_s, env=environment
    )
    found = json.loads(done.stdout)
    return Listed(
        [(name, code, message) for name, code, message in found["rows"]], found["memory_mb"]
    )
