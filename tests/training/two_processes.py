"""A training by two processes of this machine."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from schemas.record import Record


def train_by_two(
    recipe: Record, train: Callable[..., object], out: Path, *, address: type = Path
) -> None:
    """Train a recipe into a folder by torchrun; `address` is how `train` takes the folder."""
    scratch = out.with_name(f"{out.name}-scratch")
    scratch.mkdir()
    file, script, kind = scratch / "recipe.json", scratch / "script.py", type(recipe)
    file.write_text(recipe.model_dump_json())
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        f"from {kind.__module__} import {kind.__name__} as Recipe\n"
        f"from {train.__module__} import {train.__name__} as train\n"
        "recipe = Recipe.model_validate_json(Path(sys.argv[1]).read_text())\n"
        f"train(recipe, {address.__name__}(sys.argv[2]), print)\n"
    )
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    subprocess.run(
        [sys.executable, *launcher, str(script), str(file), str(out)],
        env=environment,
        check=True,
        timeout=600,
    )
