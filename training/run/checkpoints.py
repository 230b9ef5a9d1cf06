"""Checkpoints: all that a run needs to go on, and all that sampling needs.

A run's folder, local or remote::

    checkpoints/step-00000500/
      model.safetensors     weights
      ema.safetensors       averaged weights: those that play; where some of the net does not
                            learn, adapter.safetensors in its place: what does, on top of its parent
      optimizer.pt          moments; of older ones removed (run.keep_moments)
      recipe.json           the training recipe
      corpus.json           sentences per prompt, statistics that fill what a prompt leaves open,
                            what the latents are
      state.json            step, counts, the SHA-256 of each of the others, and its own seal;
                            written last: a checkpoint without it is not one

There is no random state and no position in the data to keep: every draw depends on the seed and the
step.
"""

import json
import logging
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import ValidationError

from pipelines.errors import PipelineError, is_of_the_machine
from pipelines.storage.store import Store, seal, sha256_of
from pipelines.trust.build_folder import check_files
from schemas.kinds import located
from schemas.record import Record
from training.errors import TrainingError
from training.run.run_state import RunState
from training.run.tensor_files import (
    Weights,
    check_archive,
    mapped_moments,
    mapped_weights,
    write_moments,
    write_weights,
)

FOLDER: Final = "checkpoints"
MODEL: Final = "model.safetensors"
EMA: Final = "ema.safetensors"
ADAPTER: Final = "adapter.safetensors"
PLAYED: Final = (EMA, ADAPTER)  # one of these plays
OPTIMIZER: Final = "optimizer.pt"
RECIPE: Final = "recipe.json"
CORPUS: Final = "corpus.json"
STATE: Final = "state.json"
RUN: Final = (MODEL, EMA, OPTIMIZER, RECIPE, CORPUS)
PREDICTORS: Final = (MODEL, OPTIMIZER, RECIPE)
_NAME: Final = re.compile(r"step-(\d{8})")
_OF_A_RUN: Final = re.compile(rf"/{FOLDER}/step-\d{{8}}$")
_BY_HAND: Final = (
    f"If you changed a file yourself, take its line and the one of {STATE} out of {STATE}"
)
_LOG: Final = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)


class Checkpoint(NamedTuple):
    """A checkpoint by its address.

    Whatever is asked of it raises `TrainingError`, naming the file, where that cannot be read.
    """

    store: Store
    folder: str  # within the store; empty where the store is the checkpoint itself

    def file(self, name: str) -> str:
        """A file of it, by its name in the store."""
        return f"{self.folder}/{name}" if self.folder else name

    def weights(self, name: str) -> Weights:
        """Tensors of a file, all of them finite."""
        tensors = self.mapped_weights(name)
        strange = next((key for key, value in tensors.items() if not value.isfinite().all()), "")
        if strange:
            raise TrainingError(
                f"{self.name}/{name} holds numbers that are not finite, "
                f"such as in {strange}: its disk or its writer failed"
            )
        return tensors

    @property
    def played(self) -> str:
        """The file of the averaged weights."""
        return ADAPTER if ADAPTER in self.state().files else EMA

    def mapped_weights(self, name: str) -> Weights:
        """Tensors of a file, whose bytes are read as they are looked at."""
        return mapped_weights(self.store, self.file(name))

    def optimizer(self) -> dict[str, Any]:
        """Moments, as torch's optimizers keep them, by parameter's name."""
        return mapped_moments(self.store, self.file(OPTIMIZER))

    def json(self, name: str) -> Any:
        """A JSON file of it."""
        try:
            return json.loads(self.store.read_bytes(self.file(name)))
        except (ValueError, RecursionError) as error:
            raise TrainingError(f"{self.name}/{name} is not JSON: {error}") from error

    def record(self, name: str, kind: type[R]) -> R:
        """A record from a JSON file of it.

        Raises `TrainingError` where it is another kind's, or another version's.
        """
        try:
            return kind.model_validate(self.json(name))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(step.name for step in located(kind, first["loc"]))
            raise TrainingError(
                f"{self.name}/{name} is not of a model that "
                f"this version trains: {where}: {first['msg']}"
            ) from error

    def state(self) -> RunState:
        """Its step and counts."""
        state, stated = self.record(STATE, RunState), _NAME.fullmatch(self.name.rpartition("/")[2])
        if stated and int(stated[1]) != state.step:
            raise TrainingError(f"{self.name}/{STATE} is of step {state.step}")
        if STATE in state.files and state.files[STATE] != _state_seal(self.json(STATE)):
            raise TrainingError(f"{self.name}/{STATE} is not what was written: its seal is broken")
        return state

    def check(self, name: str, sha256: str) -> None:
        """Raise `TrainingError` for a file that is not what was written, as far as can be seen."""
        if sha256:
            with self.store.open(self.file(name)) as opened:
                if sha256_of(opened) != sha256:
                    raise TrainingError(
                        f"{name} is not what was written, by its SHA-256 in {STATE}"
                    )
        elif name == OPTIMIZER:
            check_archive(self.store, self.file(name))
        elif name.endswith(".json"):
            self.json(name)
        else:
            self.weights(name)

    @property
    def run(self) -> str:
        """The folder of the run that it is of."""
        return _OF_A_RUN.sub("", self.store.url)

    @property
    def place(self) -> str:
        """Where it is, from wherever one looks: of a local one the whole path."""
        root = self.store.root if self.store.is_local else self.store.url
        return f"{root}/{self.folder}" if self.folder else root

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{self.store.url}/{self.folder}" if self.folder else self.store.url


class DamagedCheckpoint(NamedTuple):
    """A checkpoint that is not what was written, and how that is seen."""

    checkpoint: Checkpoint
    reason: str

    @property
    def line(self) -> str:
        """The line of a report."""
        return f"{self.checkpoint.name} is damaged and not used: {self.reason}"


class Newest(NamedTuple):
    """The newest checkpoint that is whole, if there is any, and the newer ones that are not."""

    whole: Checkpoint | None
    damaged: tuple[DamagedCheckpoint, ...]


def folder_of(step: int) -> str:
    """The folder of a step's checkpoint.

    >>> folder_of(500)
    'checkpoints/step-00000500'
    """
    return f"{FOLDER}/step-{step:08d}"


def write(
    store: Store,
    step: int,
    *,
    weights: dict[str, Weights],
    metadata: Mapping[str, str] | None = None,
    optimizer: dict[str, Any] | None,
    documents: Mapping[str, Any],
) -> Checkpoint:
    """Write a checkpoint: tensors by file, moments if there are any, JSON documents; `state.json`
    among them comes last, with the hashes of all others. `metadata` is put into the tensors' files.
    """
    made = Checkpoint(store, folder_of(step))
    store.delete(made.file(STATE))
    written = []
    for name, tensors in weights.items():
        with store.writer(made.file(name)) as out:
            write_weights(out, tensors, metadata)
        written.append(out.published())
    if optimizer is not None:
        with store.writer(made.file(OPTIMIZER)) as out:
            write_moments(out, optimizer)
        written.append(out.published())
    written += [
        store.write_json(made.file(name), document)
        for name, document in documents.items()
        if name != STATE
    ]
    hashes = {one.name.rpartition("/")[2]: one.sha256 for one in written}
    state = {**documents[STATE], "files": hashes}
    store.write_json(made.file(STATE), {**state, "files": {**hashes, STATE: _state_seal(state)}})
    return made


def _state_seal(state: Mapping[str, Any]) -> str:
    """The seal of a state, which is not part of what it seals."""
    return seal(
        {
            **state,
            "files": {name: sha256 for name, sha256 in state["files"].items() if name != STATE},
        }
    )


def _names(state: RunState) -> tuple[str, ...]:
    """Files that a whole checkpoint has."""
    written = tuple(name for name in state.files if name != STATE)
    return written or (PREDICTORS if state.text else RUN)


def damage(checkpoint: Checkpoint, files: Collection[str] | None = None) -> str:
    """What is wrong with a checkpoint; empty where it is what was written.

    Of its files, these are read (none: all).
    """
    try:
        state = checkpoint.state()
        removed = {OPTIMIZER} & set(files or ()) - set(_names(state))
        if removed:
            return f"its {OPTIMIZER} was removed to save room (run.keep_moments)"
        for name in (name for name in _names(state) if files is None or name in files):
            checkpoint.check(name, state.files.get(name, ""))
    except TrainingError as error:
        return str(error).removeprefix(f"{checkpoint.name}/")
    except OSError as error:
        if is_of_the_machine(error):
            raise
        return f"{error.strerror}: {str(error.filename).rpartition('/')[2]}"
    return ""


def newest_whole(store: Store, files: Collection[str] | None = None) -> Newest:
    """The last checkpoint of a run that is what was written.

    Raises `TrainingError` where there are some, and none is whole.
    """
    damaged: list[DamagedCheckpoint] = []
    for one in reversed(whole_ones(store)):
        reason = damage(one, files)
        if not reason:
            return Newest(one, tuple(damaged))
        damaged.append(DamagedCheckpoint(one, reason))
    if damaged:
        lines = "; ".join(f"{one.checkpoint.folder}: {one.reason}" for one in damaged)
        raise TrainingError(
            f"{store.url} holds no whole checkpoint ({lines}): put a copy in its place, or begin "
            f"anew in another folder. {_BY_HAND}"
        )
    return Newest(None, ())


def whole_ones(store: Store) -> list[Checkpoint]:
    """Checkpoints of a run that were written to their end, oldest first; `damage` says whether one
    is still what was written.
    """
    found = sorted({name for name in _folders(store) if _NAME.fullmatch(name)})
    made = [Checkpoint(store, f"{FOLDER}/{name}") for name in found]
    return [one for one in made if store.exists(one.file(STATE))]


def drop_moments(store: Store, keep: int, damaged: Collection[str] = ()) -> None:
    """Remove the moments of all checkpoints but the last `keep` whole ones: what is left of an
    older one plays, and no run goes on from it.
    """
    whole = [one for one in whole_ones(store) if one.folder not in damaged]
    for one in whole[:-keep]:
        state = one.json(STATE)
        if not state.get("files"):  # nothing says what it has
            continue
        if state["files"].pop(OPTIMIZER, ""):  # first it is said, then done
            sealed = state["files"] | {STATE: _state_seal(state)}
            store.write_json(one.file(STATE), {**state, "files": sealed})
        store.delete(one.file(OPTIMIZER))


def drop_old(store: Store, keep: int, damaged: Collection[str] = ()) -> None:
    """Remove all checkpoints but the last `keep` whole ones, and what a kill left of others; for
    the run whose turn it is.

    `damaged` are the folders of those that are known not to be whole: they do not count, and go.
    """
    remaining = [one.folder for one in whole_ones(store) if one.folder not in damaged][-keep:]
    for name in _folders(store):
        if _NAME.fullmatch(name) and f"{FOLDER}/{name}" not in remaining:
            store.delete(f"{FOLDER}/{name}/{STATE}")  # first: without it, it is none
            store.fs.rm(store.path(f"{FOLDER}/{name}"), recursive=True)


def find_checkpoint(target: str, files: Collection[str] | None = None) -> Checkpoint:
    """The checkpoint that a target names: itself, or the last whole one of a run, of which newer
    damaged ones are reported in the log.

    Of its files, these are compared with what was written (none: all). Raises
    `TrainingError` where there is none, or none is whole.
    """
    store = Store(target)
    try:
        check_files(store)
        if store.exists(STATE):
            return _itself(Checkpoint(store, ""), files)
        found = newest_whole(store, files)
    except (PipelineError, OSError) as error:
        raise TrainingError(f"{target} cannot be read: {error}") from error
    if found.whole is None:
        raise TrainingError(
            f"{target} holds no checkpoint: name the folder "
            "of a training run, or one of its checkpoints/step-…"
        )
    for one in found.damaged:
        _LOG.error("%s", one.line)
    return found.whole


def is_of_codes(checkpoint: Checkpoint) -> bool:
    """Whether it is of a masked model of codes, rather than of a model of latents."""
    stored = checkpoint.json(RECIPE)
    return isinstance(stored, dict) and "codes" in stored


def _itself(checkpoint: Checkpoint, files: Collection[str] | None) -> Checkpoint:
    reason = damage(checkpoint, files)
    if reason:
        raise TrainingError(f"{checkpoint.name}/{reason}. {_BY_HAND}")
    return checkpoint


def _folders(store: Store) -> list[str]:
    """Names of the folders of checkpoints."""
    path = store.path(FOLDER)
    try:
        store.fs.invalidate_cache(path)
        return [
            str(name).rstrip("/").rpartition("/")[2] for name in store.fs.ls(path, detail=False)
        ]
    except (FileNotFoundError, NotADirectoryError):
        return []
