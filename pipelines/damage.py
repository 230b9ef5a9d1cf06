"""What of a build is not as it was written: every file of every marker, every seal, and the documents that its version vouches for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from pipelines import slicing
from pipelines.errors import Damaged, PipelineError
from pipelines.settling import INPUT_LEDGER, PLAN
from pipelines.stage import MARKER, altered_files, forget
from pipelines.store import Store
from pipelines.tables import side_by_side
from pipelines.versions import FOLDER as VERSIONS
from pipelines.versions import last_version, read_version, version_names

_PLANS: Final = (PLAN, slicing.LISTING)


class Damage(NamedTuple):
    """A file that is not as it was written, or the marker that should vouch for it: what is wrong, and whose bucket it is."""

    said: str
    folder: str = ""  # of the stage that makes it anew; empty for a document of the whole build
    bucket: str = ""


class NotWhole(PipelineError):
    """A build holds files that are not as they were written."""

    def __init__(self, out: str, found: Sequence[Damage]) -> None:
        self.lines = tuple(damage.said for damage in found)
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        super().__init__(f"{out} is not whole: {self.lines[0]}{more}; run obbligato build again, which makes anew what it can")


def check_whole(store: Store, folders: Iterable[str]) -> None:
    """Read every file of a build and hold it against what was recorded when it was written.

    Raises `NotWhole`, which names each that differs, once their buckets are marked to be made anew.
    """
    found = [*_documents(store), *_of_buckets(store, folders)]
    if not found:
        return
    for damage in found:
        if damage.folder:
            forget(store, damage.folder, damage.bucket)
        elif damage.said.startswith(INPUT_LEDGER):  # what is missing is made anew; of other documents that is so in any case
            store.delete(INPUT_LEDGER)
    raise NotWhole(store.url, found)


def _of_buckets(store: Store, folders: Iterable[str]) -> Iterator[Damage]:
    """Damage in the folders of stages."""
    marked = [(folder, name.removesuffix(MARKER)) for folder in folders for name in store.names(folder) if name.endswith(MARKER)]
    for damages in side_by_side(lambda of: list(_of_bucket(store, *of)), marked):
        yield from damages


def _of_bucket(store: Store, folder: str, bucket: str) -> Iterator[Damage]:
    try:
        yield from (Damage(said, folder, bucket) for said in altered_files(store, folder, bucket))
    except (Damaged, KeyError, TypeError, AttributeError) as error:
        yield Damage(f"{folder}/{bucket}{MARKER} is not what was written ({error})", folder, bucket)


def _documents(store: Store) -> Iterator[Damage]:
    """Damage in what is written for the build as a whole."""
    for name in _PLANS:
        yield from _broken(name, partial(store.read_sealed, name))
    for name in version_names(store):
        yield from _broken(f"{VERSIONS}/{name}", partial(read_version, store, name))
    version = last_version(store)
    if version is None:
        return
    for name, sha256 in version.documents.items():
        if not store.exists(name):
            yield Damage(f"{name} is missing")
        elif store.sha256(name) != sha256:
            yield Damage(f"{name} is not the one that version {version.number} was published with")


def _broken(name: str, read: Callable[[], object]) -> Iterator[Damage]:
    try:
        read()
    except FileNotFoundError:
        yield Damage(f"{name} is missing")
    except Damaged as error:
        yield Damage(f"{name} is not what was written ({error})")
