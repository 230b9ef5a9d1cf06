"""The weights of our own small networks: numpy archives in half precision beside the code, made by
`training/annotator_training`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipelines.annotators import WEIGHTS_FOLDER


def read_weights(name: str) -> dict[str, torch.Tensor]:
    """A network's state from a file of `weights`, in single precision."""
    with (WEIGHTS_FOLDER / name).open("rb") as file, np.load(file) as arrays:
        return {
            key: torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array)
            for key, array in arrays.items()
        }


def write_weights(path: str, state: dict[str, torch.Tensor]) -> None:
    """Store a network's state in half precision."""
    np.savez_compressed(
        path, allow_pickle=False, **{key: _halved(tensor.numpy()) for key, tensor in state.items()}
    )


def _halved(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float16) if array.dtype == np.float32 else array
