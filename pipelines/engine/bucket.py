"""What every stage over a bucket's clips shares: their files at hand, a child to work in, the
dead.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Final, TypeVar

from pipelines.build.outputs import Job, Output
from pipelines.engine.child_process import CHILDREN, Child, Death, Limits
from pipelines.errors import DeadInput, machine_faults
from pipelines.storage.addresses import PublishedSources, public_client
from pipelines.storage.remote import located, remote_errors
from pipelines.storage.store import Published
from pipelines.storage.temporary import temporary_folder
from schemas.corpus import Dead, Source
from schemas.recipe import IngestRecipe, LimitsRecipe

T = TypeVar("T")
_BLOCK: Final = 1 << 20
_CUDA_MEMORY: Final = 16  # a process on a GPU reserves far more than it uses
# of the process that shows progress; none on a cluster
_listeners: list[Callable[[str, int], None]] = []


class _Hand(threading.local):
    """What a thread is at."""

    stage = ""


_hand: Final = _Hand()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive runs of up to `size` items, taken as they are asked for."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def batches_by_bytes(
    items: Iterable[T], size: int, most: int, bytes_of: Callable[[T], int]
) -> Iterator[list[T]]:
    """The same; a run that holds `most` bytes ends sooner, behind the item that fills it.

    >>> list(batches_by_bytes(["a", "bbb", "c", "d", "e"], 2, 3, len))
    [['a', 'bbb'], ['c', 'd'], ['e']]
    >>> list(batches_by_bytes(["aaa", "b"], 2, 3, len))
    [['aaa'], ['b']]
    """
    batch: list[T] = []
    held = 0
    for item in items:
        batch.append(item)
        held += bytes_of(item)
        if len(batch) >= size or held >= most:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


@contextmanager
def child(limits: LimitsRecipe) -> Iterator[Child]:
    """A worker's child with the recipe's limits, handed back afterwards."""
    taken = CHILDREN.take(Limits(limits.cpu_s, limits.memory_mb, limits.wall_s))
    try:
        yield taken
    finally:
        CHILDREN.give_back(taken)


@contextmanager
def model_child(limits: LimitsRecipe, device: str, items: int, python: str = "") -> Iterator[Child]:
    """A child that can hold a model, in the environment that it needs.

    Limits are of a call with so many items.
    """
    memory_mb = limits.memory_mb * (1 if device == "cpu" else _CUDA_MEMORY)
    taken = CHILDREN.take(
        Limits(limits.cpu_s * items, memory_mb, limits.wall_s * max(1, items // 16)), python
    )
    try:
        yield taken
    finally:
        CHILDREN.give_back(taken)


@contextmanager
def local_files(job: Job) -> Iterator[Callable[[Source], str]]:
    """A function from a source of a job's build to a local path.

    What is remote, or inside a shard, is fetched once and removed at the end.

    The function raises `DeadInput` for a remote file that is too large, or leads where it may not.
    """
    sources, recipe = PublishedSources(job.store, job.recipe.ingest), job.recipe.ingest
    fetched: dict[tuple[str, int], str] = {}
    with temporary_folder() as folder:

        def local(source: Source) -> str:
            uri = sources.whole(source.uri)
            # a path as it is: fsspec would read '::' in it as a chain of protocols
            if "://" not in uri and not source.member:
                return uri
            at = (source.uri, source.member_offset)
            if at not in fetched:
                fetched[at] = str(folder / f"{len(fetched):06d}")
                with (
                    machine_faults(f"{source.uri}, fetched into {folder.parent}"),
                    Path(fetched[at]).open("wb") as out,
                ):
                    _fetch(source.model_copy(update={"uri": uri}), out, recipe)
            return fetched[at]

        yield local


def _fetch(source: Source, out: IO[bytes], recipe: IngestRecipe) -> None:
    """Copy a source's bytes.

    Raises `OSError` where the file is not there, `PipelineError` where its store cannot be reached.
    """
    limit = int(recipe.max_file_mb * 2**20)
    with (
        remote_errors(source.uri) if "://" in source.uri else nullcontext(),
        _opened(source.uri, recipe) as opened,
    ):
        if source.member:
            opened.seek(source.member_offset)
            out.write(opened.read(source.member_bytes))
            return
        while block := opened.read(_BLOCK):
            if out.tell() + len(block) > limit:
                raise DeadInput(
                    "too_large",
                    "raise ingest.max_file_mb to use it",
                    f"limit {recipe.max_file_mb:g} MiB",
                )
            out.write(block)


def _opened(uri: str, recipe: IngestRecipe) -> IO[bytes]:
    if "://" not in uri:
        return open(uri, "rb")
    fs, path = located(uri, client=None if recipe.private_addresses else public_client)
    remote: IO[bytes] = fs.open(path, "rb")
    return remote


def write_dead(job: Job, output: Output, dead: Sequence[tuple[str, Death]]) -> list[Published]:
    """Publish what died in a bucket as an output was made.

    A bucket without any has no such file.
    """
    if not dead:
        job.store.delete(output.dead.path(job))
        return []
    rows = [
        Dead(key=key, code=death.code, message=death.message, figure=death.figure)
        for key, death in dead
    ]
    return [output.dead.write(job, rows)]


def read_dead(job: Job, output: Output) -> list[Dead]:
    """What died in a bucket as an output was made."""
    return output.dead.read(job) if output.dead.exists(job) else []


def listen(listener: Callable[[str, int], None] | None) -> None:
    """Call back with a stage's name and how many of its clips are done, at every progress in this
    process, or (with none) no longer.
    """
    _listeners.clear()
    if listener is not None:
        _listeners.append(listener)


@contextmanager
def at_stage(name: str) -> Iterator[None]:
    """What this thread does within the block is a stage's."""
    before, _hand.stage = _hand.stage, name
    try:
        yield
    finally:
        _hand.stage = before


def progress(clips: int) -> None:
    """Say that so many clips are done, of the stage that this thread is at."""
    for listener in _listeners:
        listener(_hand.stage, clips)
