"""Folders of models in the Hugging Face layout: by path, or by id from the hub or its cache."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from pipelines.errors import PipelineError
from pipelines.storage.store import sha256_of

_WEIGHTS: Final = "*.safetensors"  # pickles can hold code
_PATTERNS: Final = ["*.json", "*.txt", "*.safetensors", "*.model", "README.md"]
UNKNOWN: Final = "unknown"


class Pinned(NamedTuple):
    """A model's id, and the revision that it is held to; none for the newest, and for folders."""

    name: str
    revision: str | None


def pinned(model: str) -> Pinned:
    """A model as a recipe names it: a folder, an id on the hub, or an id held to a commit or tag.

    >>> pinned("google/flan-t5-large")
    Pinned(name='google/flan-t5-large', revision=None)
    >>> pinned("google/flan-t5-large@0613663d")
    Pinned(name='google/flan-t5-large', revision='0613663d')
    """
    if os.path.isabs(model) or os.path.isdir(model):
        return Pinned(model, None)
    name, _, revision = model.partition("@")
    return Pinned(name, revision or None)


@lru_cache(maxsize=8)
def model_folder(model: str) -> Path:
    """Where a model lies: a folder as it is, an id's snapshot, downloaded if need be.

    Raises `PipelineError` where it cannot be had.
    """
    if os.path.isdir(model):
        return Path(model)
    name, revision = pinned(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_PATTERNS))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise PipelineError(
            f"model {model} is not a folder, and cannot be had from the hub: {first}"
        ) from error


@lru_cache(maxsize=8)
def weights_checksum(folder: Path) -> str:
    """SHA-256 over a model's weights and configuration, shortened.

    Raises `PipelineError` where there are none.
    """
    weights = sorted(folder.glob(_WEIGHTS))
    if not weights:
        raise PipelineError(f"{folder} holds no weights: expected {_WEIGHTS}")
    digest = hashlib.sha256()
    for path in (*sorted(folder.glob("*.json")), *weights):
        with path.open("rb") as opened:
            digest.update(f"{path.name} {sha256_of(opened)}\n".encode())
    return digest.hexdigest()[:16]


def stated_licence(folder: Path) -> str:
    """The licence that a model's card states in its head, else "unknown"."""
    from huggingface_hub import ModelCard

    path = folder / "README.md"
    if not path.is_file():
        return UNKNOWN
    try:
        licence = ModelCard.load(path).data.get("license")
    except ValueError:
        return UNKNOWN
    return str(licence) if licence else UNKNOWN
