"""Checkpoints: all that a run needs to go on as if nothing had happened, and all that sampling needs.

A run's folder, local or remote::

    checkpoints/step-00000500/
      model.safetensors     weights
      ema.safetensors       averaged weights: those that play
      optimizer.pt          moments
      recipe.json           the training recipe
      corpus.json           sentences per prompt, statistics that fill what a prompt leaves open, what the latents are
      state.json            step and counts; written last: a checkpoint without it is not one

There is no random state and no place in the data to keep: every draw depends on the seed and the step.
"""

import io
import re
from typing import IO, Any, Final, NamedTuple, TypeVar, cast

import safetensors.torch
import torch
from pydantic import ValidationError

from pipelines.errors import PipelineError
from pipelines.store import Store
from schemas.record import Record
from training.errors import TrainingError
from training.files import OPTIMIZER, STATE

FOLDER: Final = "checkpoints"
_NAME: Final = re.compile(r"step-(\d{8})")

Weights = dict[str, torch.Tensor]
R = TypeVar("R", bound=Record)


class Checkpoint(NamedTuple):
    """A checkpoint by its place."""

    store: Store
    folder: str  # within the store; empty where the store is the checkpoint itself

    def file(self, name: str) -> str:
        """A file of it, by its name in the store."""
        return f"{self.folder}/{name}" if self.folder else name

    def weights(self, name: str) -> Weights:
        """Tensors of a file."""
        return safetensors.torch.load(self.store.read_bytes(self.file(name)))

    def optimizer(self) -> dict[str, Any]:
        """Moments, as torch's optimizers keep them, by parameter's name."""
        found: dict[str, Any] = torch.load(io.BytesIO(self.store.read_bytes(self.file(OPTIMIZER))), map_location="cpu", weights_only=True)
        return found

    def json(self, name: str) -> Any:
        """A JSON file of it."""
        return self.store.read_json(self.file(name))

    def record(self, name: str, kind: type[R]) -> R:
        """A record from a JSON file of it. Raises `TrainingError` where it is another kind's, or another version's."""
        try:
            return kind.model_validate(self.json(name))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise TrainingError(f"{self.name}/{name} is not of a model that this version trains: {where}: {first['msg']}") from error

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.store.url}/{self.folder}" if self.folder else self.store.url


def folder_of(step: int) -> str:
    """The folder of a step's checkpoint.

    >>> folder_of(500)
    'checkpoints/step-00000500'
    """
    return f"{FOLDER}/step-{step:08d}"


def write(store: Store, step: int, *, weights: dict[str, Weights], optimizer: dict[str, Any], documents: dict[str, Any]) -> Checkpoint:
    """Write a checkpoint: tensors by file, moments, JSON documents; `state.json` among them comes last."""
    made = Checkpoint(store, folder_of(step))
    store.delete(made.file(STATE))
    for name, tensors in weights.items():
        store.write_bytes(made.file(name), safetensors.torch.save({key: value.contiguous() for key, value in tensors.items()}))
    with store.writer(made.file(OPTIMIZER)) as out:
        torch.save(optimizer, cast(IO[bytes], out))  # it writes, and does nothing else
    for name, document in sorted(documents.items(), key=lambda pair: pair[0] == STATE):
        store.write_json(made.file(name), document)
    return made


def whole_ones(store: Store) -> list[Checkpoint]:
    """Whole checkpoints of a run, oldest first."""
    found = sorted({name for name in _folders(store) if _NAME.fullmatch(name)})
    made = [Checkpoint(store, f"{FOLDER}/{name}") for name in found]
    return [one for one in made if store.exists(one.file(STATE))]


def drop_old(store: Store, keep: int) -> None:
    """Remove all whole checkpoints but the last `keep`, and what a kill left of others; for the run whose turn it is."""
    kept = {one.folder for one in whole_ones(store)[-keep:]}
    for name in _folders(store):
        if _NAME.fullmatch(name) and f"{FOLDER}/{name}" not in kept:
            store.delete(f"{FOLDER}/{name}/{STATE}")  # first: without it, it is none
            store.fs.rm(store.path(f"{FOLDER}/{name}"), recursive=True)


def find_checkpoint(target: str) -> Checkpoint:
    """The checkpoint that a target names: itself, or the last one of a run. Raises `TrainingError` where there is none."""
    store = Store(target)
    try:
        if store.exists(STATE):
            return Checkpoint(store, "")
        found = whole_ones(store)
    except (PipelineError, OSError) as error:
        raise TrainingError(f"{target} cannot be read: {error}") from error
    if not found:
        raise TrainingError(f"{target} holds no checkpoint: name the folder of a training run, or one of its checkpoints/step-…")
    return found[-1]


def _folders(store: Store) -> list[str]:
    """Names of the folders of checkpoints."""
    path = store.path(FOLDER)
    try:
        store.fs.invalidate_cache(path)
        return [str(name).rstrip("/").rpartition("/")[2] for name in store.fs.ls(path, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
