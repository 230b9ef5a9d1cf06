"""Tensors to files in a stream, and back by mapping: neither takes the file's size in memory."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any, Final, Protocol, cast

import safetensors
import safetensors.torch
import torch

from pipelines.pretrained.checksum import first_line
from pipelines.storage.store import FileWriter, Store
from training.errors import TrainingError

Weights = dict[str, torch.Tensor]
_ALIGNED: Final = 8  # bytes that safetensors rounds the length of its header to


class ByteSink(Protocol):
    """Whatever takes bytes."""

    def write(self, content: bytes, /) -> Any:
        """Take them."""
        ...


def write_weights(
    out: ByteSink, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Weights as a safetensors file, equal to the library's to the byte: that makes one row of
    bytes of all of them first, twice their size.

    All are float32; the library sorts them by name then. `metadata` is what the file says of
    itself.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in sorted(weights.items()):
        if tensor.dtype is not torch.float32:
            raise TrainingError(f"{name} is {tensor.dtype}: weights are kept in float32")
        ends = [end, end := end + tensor.nbytes]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": ends}
    content = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    content += b" " * (-len(content) % _ALIGNED)
    out.write(struct.pack("<Q", len(content)) + content)
    for name in sorted(weights):
        out.write(memoryview(weights[name].contiguous().numpy().reshape(-1)).cast("B"))  # type: ignore[arg-type]  # bytes-like


def mapped_weights(store: Store, name: str) -> Weights:
    """Tensors of a safetensors file, mapped where it is local: bytes are read as they are looked
    at, and belong to all processes that look.

    Raises `TrainingError` for what cannot be read.
    """
    if store.is_local:
        store.open(name).close()  # raises for a file that is not there, with its name
    try:
        if store.is_local:
            return safetensors.torch.load_file(store.path(name))
        return safetensors.torch.load(store.read_bytes(name))
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{store.url}/{name} holds no tensors that can be read: {error}"
        ) from error


def write_moments(out: FileWriter, moments: Mapping[str, Any]) -> None:
    """Moments as torch's own archive.

    Raises what the writer has met, where a write failed.
    """
    try:
        torch.save(moments, cast(IO[bytes], out))  # it writes, and does nothing else
    except RuntimeError:  # torch has words of its own for a write that failed
        if out.fault is not None:
            raise out.fault from None
        raise


def mapped_moments(store: Store, name: str) -> dict[str, Any]:
    """What `torch.save` has kept, mapped where it is local.

    Raises `TrainingError` for what cannot be read.
    """
    if store.is_local:
        store.open(name).close()  # raises for a file that is not there, with its name
    content: Any = store.path(name) if store.is_local else io.BytesIO(store.read_bytes(name))
    try:
        moments: dict[str, Any] = torch.load(
            content, map_location="cpu", weights_only=True, mmap=store.is_local
        )
    except Exception as error:  # a damaged archive brings pickle and torch to raise anything
        raise TrainingError(
            f"{store.url}/{name} holds no moments that can be read: {first_line(error)}"
        ) from error
    return moments


def check_archive(store: Store, name: str) -> None:
    """By the checksums of each part of torch's archive, which torch does not compare.

    Raises `TrainingError` where one differs.
    """
    last = name.rpartition("/")[2]
    try:
        with store.open(name) as opened, zipfile.ZipFile(opened) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, zlib.error) as error:
        raise TrainingError(f"{last} is not whole: {error}") from error
    if damaged:
        raise TrainingError(f"{last} is damaged in {damaged}")
