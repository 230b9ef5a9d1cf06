"""Tensors in files of others, which never run code: safetensors, or torch's archives read by its
reader of plain tensors.
"""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

from pipelines.pretrained.checksum import first_line
from training.errors import TrainingError
from training.run.tensor_files import Weights

_SAFE: Final = ".safetensors"
_REFUSED: Final = (
    "{path} holds more than tensors ({reason}), and reading it would run what it holds: it is "
    "refused. Ask its author for safetensors"
)


def read_tensors(path: Path) -> Weights:
    """The tensors of a file by name.

    Raises `TrainingError` for a file that is not whole, that holds anything but finite numbers,
    or that names code.
    """
    try:
        found = safetensors.torch.load_file(path) if path.suffix == _SAFE else _unpickled(path)
    except pickle.UnpicklingError as error:
        raise TrainingError(_REFUSED.format(path=path, reason=first_line(error))) from error
    except TrainingError:
        raise
    except Exception as error:  # files of others bring their readers to raise anything
        raise TrainingError(f"{path} holds no tensors that can be read: {first_line(error)}") from (
            error
        )
    return {name: _checked(path, name, value) for name, value in _named(path, found).items()}


def _unpickled(path: Path) -> Any:
    """What torch's reader of tensors alone makes of a file; it knows no other classes."""
    if not zipfile.is_zipfile(path):  # of torch before 1.6
        return torch.load(path, map_location="cpu", weights_only=True)
    with zipfile.ZipFile(path) as archive:
        inside = sum(part.file_size for part in archive.infolist())
    if inside > path.stat().st_size:
        raise TrainingError(f"{path} is compressed, as no file of torch's is: it is refused")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _named(path: Path, found: Any) -> Mapping[str, torch.Tensor]:
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise TrainingError(f"{path} is not a table of tensors by name")
    return found


def _checked(path: Path, name: str, value: torch.Tensor) -> torch.Tensor:
    """A tensor with memory of its own, in float32 where it holds fractions."""
    if value.is_meta or value.layout is not torch.strided:
        raise TrainingError(f"{path}: {name} is not a plain tensor")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise TrainingError(f"{path}: {name} claims more numbers than the file holds")
    if not value.is_floating_point():
        return value.clone().contiguous()
    whole = value.to(torch.float32, copy=True).contiguous()
    if not whole.isfinite().all():
        raise TrainingError(f"{path}: {name} holds numbers that are not finite")
    return whole
