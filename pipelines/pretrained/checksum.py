"""A network's weights as a short name: latents and states that were kept are of use only to
whoever has the same weights.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import torch

from pipelines.errors import PipelineError

STORED: Final = "weights in safetensors, not in pickles"  # as messages ask for them


def weights_hash(module: torch.nn.Module) -> str:
    """Eight hex of the SHA-256 of all parameters and buffers, on whatever device and in whatever
    floating type they lie.

    >>> torch.nn.init.zeros_((layer := torch.nn.Linear(1, 1, bias=False)).weight) is layer.weight
    True
    >>> weights_hash(layer), weights_hash(layer.double()) == weights_hash(layer.float())
    ('b216fea8', True)
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:8]


def first_line(error: Exception) -> str:
    """The words of a library that could not read weights, without the page that follows them.

    >>> first_line(RuntimeError("Error in loading\\n\\tsize mismatch"))
    'Error in loading'
    """
    return str(error).strip().partition("\n")[0] or type(error).__name__


def check_whole(
    loading: Mapping[str, Any], source: str, error: type[Exception] = PipelineError
) -> None:
    """Raise `error` where a library found no weights for a part, which would be random, without a
    word: of what its `output_loading_info` gives.
    """
    if missing := loading["missing_keys"]:
        raise error(f"the weights at {source!r} lack {min(missing)}")
