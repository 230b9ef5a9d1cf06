"""Weights that a training of ours has made, in a folder: a configuration, and beside it the
tensors.
"""

from pathlib import Path
from typing import Final

import safetensors.torch
import torch

from schemas.record import Record

CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.safetensors"


def write_weights(net: torch.nn.Module, config: Record, folder: Path) -> None:
    """Write a network's weights, and what says its shape."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in net.state_dict().items()}
    (folder / _WEIGHTS).write_bytes(safetensors.torch.save(weights))
    # last: without it, nothing is there
    (folder / CONFIG).write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")


def fill_weights(net: torch.nn.Module, folder: Path) -> None:
    """Give a network the weights of a folder.

    Raises `UNREADABLE` where there are none, or not its own.
    """
    net.load_state_dict(safetensors.torch.load_file(str(folder / _WEIGHTS)))


# what reading a configuration as a record, and weights, raises
UNREADABLE: Final = (OSError, ValueError, safetensors.SafetensorError, RuntimeError)
