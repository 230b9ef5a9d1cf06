"""What of a build is not as it was written: every file of every marker, every seal, and the
documents that its version vouches for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from pipelines.build.calibrations import damaged_calibrations
from pipelines.build.markers import altered_files, invalidate, marker_name
from pipelines.build.outputs import Document
from pipelines.build.tables import (
    BUCKET_PLAN,
    INDEX_PLAN,
    INPUT_LEDGER,
    INPUTS,
    LEDGER,
    LISTING_PLAN,
    MARKER,
    VOCABULARY_PLAN,
)
from pipelines.build.versions import (
    altered_beginning,
    altered_corrections,
    altered_documents,
    read_version,
    set_aside,
    version_file,
    version_names,
)
from pipelines.errors import Damaged, PipelineError
from pipelines.llm.answers import Answers, damaged_lines
from pipelines.storage.arrow import side_by_side
from pipelines.storage.store import Store

_PLANS: Final[tuple[Document[Any], ...]] = (BUCKET_PLAN, LISTING_PLAN)
_OPTIONAL: Final[tuple[Document[Any], ...]] = (
    VOCABULARY_PLAN,
    INDEX_PLAN,
)  # plans that not every build has


class Damage(NamedTuple):
    """A file that is not as it was written, or the marker that should vouch for it.

    `wrong` says what is wrong; the rest is how the next build comes to mend it.
    """

    file: str
    wrong: str
    mend: Callable[[], None]

    @property
    def message(self) -> str:
        """One line for the reader."""
        return f"{self.file} {self.wrong}"


class NotWhole(PipelineError):
    """A build holds files that are not as they were written."""

    def __init__(self, out: str, lines: Sequence[str]) -> None:
        self.lines = tuple(lines)
        more = f", and {len(lines) - 1} more" if len(lines) > 1 else ""
        super().__init__(
            f"{out} is not whole: {self.lines[0]}{more}; "
            "run obbligato build again, which makes anew what it can"
        )


def check_whole(store: Store, folders: Iterable[str]) -> None:
    """Read every file of a build and hold it against what was recorded when it was written.

    Raises `NotWhole`, which names each that differs, once all is ready for the next build to make
    them anew.
    """
    found = damages(store, folders)
    if not found:
        return
    for damage in found:
        damage.mend()
    raise NotWhole(store.url, [damage.message for damage in found])


def damages(store: Store, folders: Iterable[str]) -> list[Damage]:
    """Every file of a build that is not as it was written, each once."""
    found = (
        *_documents(store),
        *_plans(store),
        *_versions(store),
        *_answers(store),
        *_of_buckets(store, folders),
    )
    lines = {
        (damage.file, damage.wrong) if damage.file.endswith(".jsonl") else damage.file: damage
        for damage in found
    }
    return list(lines.values())


def _of_buckets(store: Store, folders: Iterable[str]) -> Iterator[Damage]:
    """Damage in the folders of stages."""
    marked = [
        (folder, name.removesuffix(MARKER))
        for folder in folders
        for name in store.names(folder)
        if name.endswith(MARKER)
    ]
    for found in side_by_side(lambda of: list(_of_bucket(store, *of)), marked):
        yield from found


def _of_bucket(store: Store, folder: str, bucket: str) -> Iterator[Damage]:
    try:
        for file, wrong in altered_files(store, folder, bucket):
            # Where songs stand is in two files with one marker: the one that is whole must
            # stay vouched for.
            mend = (
                partial(store.delete, file)
                if (folder, bucket) == (LEDGER.folder, INPUTS)
                else partial(invalidate, store, folder, bucket)
            )
            yield Damage(file, wrong, mend)
    except Damaged as error:
        name = marker_name(folder, bucket)
        yield Damage(name, _words(store, name, error), partial(invalidate, store, folder, bucket))


def _plans(store: Store) -> Iterator[Damage]:
    """Damage in plans, and in indexes, which a plan vouches for.

    Damaged plans are made anew in any case.
    """
    for plan in (*_PLANS, *(optional for optional in _OPTIONAL if optional.exists(store))):
        yield from _broken(store, plan.name, partial(plan.read, store), lambda: None)
    indexes = INDEX_PLAN.read_before(store)
    for name, sha256 in indexes.files.items() if indexes is not None else ():
        if not store.exists(name):
            yield Damage(name, "is missing", lambda: None)
        elif store.sha256(name) != sha256:
            yield Damage(
                name,
                "is not what was written: its SHA-256 has changed",
                partial(store.delete, name),
            )


def _versions(store: Store) -> Iterator[Damage]:
    """Damage in versions.

    The last is made anew; of an earlier one nothing else has what it said.
    """
    for name in version_names(store):
        yield from _broken(
            store,
            version_file(name),
            partial(read_version, store, name),
            partial(set_aside, store, name),
        )


def _documents(store: Store) -> Iterator[Damage]:
    """Damage in what is written for the build as a whole, which is written anew in any case, but
    for the inputs' ledger.
    """
    altered = (altered_beginning, altered_corrections, damaged_calibrations, altered_documents)
    for file, wrong in (found for of in altered for found in of(store)):
        yield Damage(
            file,
            wrong,
            partial(store.delete, INPUT_LEDGER) if file == INPUT_LEDGER else lambda: None,
        )


def _answers(store: Store) -> Iterator[Damage]:
    """Damage in what language models answered, line by line.

    Answers are inputs: they are asked for again, not made anew.
    """
    for line in damaged_lines(store):
        yield Damage(line.file, line.wrong, lambda: Answers(store).mend())


def _broken(
    store: Store, name: str, read: Callable[[], object], mend: Callable[[], None]
) -> Iterator[Damage]:
    try:
        read()
    except FileNotFoundError:
        yield Damage(name, "is missing", mend)
    except Damaged as error:
        yield Damage(name, _words(store, name, error), mend)


def _words(store: Store, name: str, error: Damaged) -> str:
    """What a reader says is wrong with a file, without the file's name before it, and without
    advice: the next build mends it.
    """
    return str(error).removeprefix(f"{store.url}/{name} ").partition(";")[0]
