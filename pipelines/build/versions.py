"""Versions of a dataset: each build that changed it adds one, which names its parent and what
became of each shard.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from pydantic import Field

from pipelines.build.corrections import (
    corrected_songs,
    corrections_file,
    last_tips,
    read_corrections,
    tips,
)
from pipelines.build.markers import Altered, read_marker
from pipelines.build.plans import read_listing
from pipelines.build.tables import (
    ASSIGNED,
    BEGUN,
    BUCKET_PLAN,
    CARD,
    DATASET,
    INPUT_LEDGER,
    LISTING,
    LISTING_PLAN,
    RECIPE,
    SOURCES,
    VERSIONS,
)  # fmt: skip
from pipelines.errors import Damaged
from pipelines.storage.arrow import side_by_side
from pipelines.storage.store import Published, Store, digest
from schemas.build import Beginning
from schemas.dataset import Dataset
from schemas.recipe import Recipe
from schemas.record import Record

_NAME: Final = re.compile(r"\d{5,}\.json")


class Version(Record):
    """A state of a dataset.

    Shards of older versions stay valid as long as their SHA-256 is the one in `shards`.
    """

    number: int
    parent: int | None  # the version before; none for the first
    obbligato: str
    recipe_sha256: str
    listing_sha256: str  # of the inputs as they were listed
    dataset_sha256: str
    inputs: dict[str, int]
    samples: dict[str, int]
    shards: dict[str, str]  # file and SHA-256
    documents: dict[str, str] = Field({})  # files that nothing else vouches for, and their SHA-256
    # of each song's corrections the last hash (`corrections.tips`), by file
    corrections: dict[str, str] = Field({})
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def publish_version(store: Store, dataset: Dataset, recipe: Recipe) -> Version:
    """Add a version for a dataset that has just been closed, or return the last where nothing has
    changed.
    """
    last = last_version(store)
    found = {
        "recipe_sha256": digest(recipe.model_dump(mode="json")),
        "listing_sha256": _listing(store),
        "dataset_sha256": digest(dataset.as_json()),
    }
    documents = {name: store.sha256(name) for name in _documents(store)}
    corrections = last_tips(store)
    if last is not None and all(
        getattr(last, name) == mark
        for name, mark in {**found, "documents": documents, "corrections": corrections}.items()
    ):
        return last
    shards = {shard.file: shard.sha256 for shard in dataset.shards}
    before = last.shards if last is not None else {}
    version = Version(
        number=1 + max(map(_number, version_names(store)), default=0),
        parent=None if last is None else last.number,
        obbligato=dataset.obbligato,
        **found,
        inputs=dataset.inputs.counts,
        samples=dataset.samples.model_dump(),
        shards=shards,
        documents=documents,
        corrections=corrections,
        added=tuple(sorted(shards.keys() - before.keys())),
        changed=tuple(
            sorted(name for name in shards.keys() & before.keys() if shards[name] != before[name])
        ),
        removed=tuple(sorted(before.keys() - shards.keys())),
    )
    store.write_sealed(VERSIONS.file(f"{version.number:05d}"), version.model_dump(mode="json"))
    return version


def last_version(store: Store) -> Version | None:
    """The newest version that is whole; none before the first build has ended."""
    for name in reversed(version_names(store)):
        with suppress(Damaged):
            return read_version(store, name)
    return None


def read_version(store: Store, name: str) -> Version:
    """A version by the name of its file. Raises `Damaged`."""
    return store.read_stated(version_file(name), Version)


def seal_beginning(store: Store, written: Sequence[Published]) -> None:
    """Remember what a build was begun with: the last file written of a beginning, so that the next
    one takes it away first.
    """
    BEGUN.write(store, Beginning(files={file.name: file.sha256 for file in written}))


def altered_beginning(store: Store) -> Iterator[Altered]:
    """Of what a build was begun with, what is not as it was written.

    Nothing in builds from before that was remembered.
    """
    try:
        files = BEGUN.read(store).files
    except FileNotFoundError:
        return
    except Damaged as error:
        yield Altered(BEGUN.name, f"is not what was written ({error})")
        return
    for name, sha256 in files.items():
        if not store.exists(name):
            yield Altered(name, "is missing")
        elif store.sha256(name) != sha256:
            yield Altered(name, "is not what was written: its SHA-256 has changed")


def altered_documents(store: Store) -> Iterator[Altered]:
    """Files of a build as a whole that are not those which its last version was published with,
    each with what is wrong.
    """
    version = last_version(store)
    if version is None:
        return
    for name, sha256 in version.documents.items():
        if not store.exists(name):
            yield Altered(name, "is missing")
        elif store.sha256(name) != sha256:
            yield Altered(name, f"is not the one that version {version.number} was published with")


def altered_corrections(store: Store) -> Iterator[Altered]:
    """Files of corrections that are damaged, or hold no longer what the last version was published
    with; what was added since is as it should be.
    """
    version = last_version(store)
    stated = version.corrections if version is not None else {}
    for name in sorted({*stated, *map(corrections_file, corrected_songs(store))}):
        song_id = name.rpartition("/")[2].partition(".")[0]
        try:
            edits = read_corrections(store, song_id)
        except Damaged as error:
            yield Altered(name, f"is not what was written ({error})")
            continue
        if name not in stated or stated[name] in tips(edits):
            continue
        if not edits:
            yield Altered(name, "is missing; put a copy of it back")
        else:
            lost = "does not begin with the corrections that version"
            yield Altered(name, f"{lost} {version.number if version else 0} was published with")


def set_aside(store: Store, name: str) -> None:
    """Give a damaged version another name, under which nobody reads it: its number is free for what
    is published next.
    """
    store.write_bytes(f"{version_file(name)}.damaged", store.read_bytes(version_file(name)))
    store.delete(version_file(name))


def version_names(store: Store) -> list[str]:
    """Names of the files of all versions, oldest first."""
    return [name for name in store.names(VERSIONS.folder) if _NAME.fullmatch(name)]


def version_file(name: str) -> str:
    """Where in a build a version lies, by the name of its file."""
    return VERSIONS.file(name.removesuffix(VERSIONS.suffix))


def _number(name: str) -> int:
    return int(name.partition(".")[0])


def _documents(store: Store) -> list[str]:
    """Names of the files of a build as a whole, which no bucket's marker vouches for."""
    documents = (DATASET, CARD, RECIPE, SOURCES, BUCKET_PLAN.name, LISTING_PLAN.name, INPUT_LEDGER)
    assigned = (ASSIGNED.file(name) for name in ASSIGNED.names(store))
    return [*(name for name in documents if store.exists(name)), *assigned]


def _listing(store: Store) -> str:
    """One hash over all inputs as they were listed: names, sizes, times, captions."""
    names = list(read_listing(store))
    markers = side_by_side(
        lambda name: read_marker(store, LISTING.folder, name).hashed_files, names
    )
    return digest(dict(zip(names, markers)))


def what_changed(version: Version, before: Version | None) -> str:
    """What a version changed against the one before, in Markdown."""
    new, old = _counts(version), _counts(before) if before is not None else {}
    rows = [
        (
            f"| {name} | {old.get(name, 0)} | {new.get(name, 0)} | "
            f"{new.get(name, 0) - old.get(name, 0):+d} |"
        )
        for name in {**new, **old}
    ]
    shards = {"added": version.added, "changed": version.changed, "removed": version.removed}
    recipe = (
        "the same recipe"
        if before is not None and before.recipe_sha256 == version.recipe_sha256
        else "another recipe"
    )
    title = f"# Version {version.number}, " + (
        f"after version {version.parent}, {recipe}" if before is not None else "the first"
    )
    lines = [title, "", "| | before | now | change |", "|---|---:|---:|---:|", *rows, ""]
    return (
        "\n".join([*lines, *(f"- shards {what}: {len(names)}" for what, names in shards.items())])
        + "\n"
    )


def _counts(version: Version) -> dict[str, int]:
    return {
        **version.samples,
        **{f"inputs: {name}": count for name, count in version.inputs.items()},
    }
