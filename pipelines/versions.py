"""Versions of a dataset: each build that changed it adds one, which names its parent and what became of each shard."""

from typing import Any, Final

from pipelines.slicing import LISTING
from pipelines.stage import digest, marker_name
from pipelines.store import Store
from pipelines.tables import side_by_side
from schemas.recipe import Recipe
from schemas.record import Record

_FOLDER: Final = "versions"


class Version(Record):
    """A state of a dataset. Shards of older versions stay valid as long as their SHA-256 is the one in `shards`."""

    number: int
    parent: int | None  # the version before; none for the first
    obbligato: str
    recipe_sha256: str
    listing_sha256: str  # of the inputs as they were listed
    dataset_sha256: str
    inputs: dict[str, int]
    samples: dict[str, int]
    shards: dict[str, str]  # file and SHA-256
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def publish_version(store: Store, dataset: dict[str, Any], recipe: Recipe) -> Version:
    """Add a version for a dataset that has just been closed, or return the last where nothing has changed."""
    last = last_version(store)
    found = {"recipe_sha256": digest(recipe.model_dump(mode="json")), "listing_sha256": _listing(store), "dataset_sha256": digest(dataset)}
    if last is not None and all(getattr(last, name) == mark for name, mark in found.items()):
        return last
    shards = {shard["file"]: shard["sha256"] for shard in dataset["shards"]}
    before = last.shards if last is not None else {}
    version = Version(
        number=1 if last is None else last.number + 1,
        parent=None if last is None else last.number,
        obbligato=dataset["obbligato"],
        **found,
        inputs=dataset["inputs"],
        samples=dataset["samples"],
        shards=shards,
        added=tuple(sorted(shards.keys() - before.keys())),
        changed=tuple(sorted(name for name in shards.keys() & before.keys() if shards[name] != before[name])),
        removed=tuple(sorted(before.keys() - shards.keys())),
    )
    store.write_json(f"{_FOLDER}/{version.number:05d}.json", version.model_dump(mode="json"))
    return version


def last_version(store: Store) -> Version | None:
    """The newest version; none before the first build has ended."""
    names = [name for name in store.names(_FOLDER) if name.endswith(".json")]
    return Version.model_validate(store.read_json(f"{_FOLDER}/{names[-1]}")) if names else None


def _listing(store: Store) -> str:
    """One hash over all inputs as they were listed: names, sizes, times, captions."""
    names = list(store.read_json(LISTING)["slices"])
    markers = side_by_side(lambda name: store.read_json(marker_name("listing", name))["files"], names)
    return digest(dict(zip(names, markers)))


def what_changed(version: Version, before: Version | None) -> str:
    """What a version changed against the one before, in Markdown."""
    new, old = _counts(version), _counts(before) if before is not None else {}
    rows = [f"| {name} | {old.get(name, 0)} | {new.get(name, 0)} | {new.get(name, 0) - old.get(name, 0):+d} |" for name in {**new, **old}]
    shards = {"added": version.added, "changed": version.changed, "removed": version.removed}
    recipe = "the same recipe" if before is not None and before.recipe_sha256 == version.recipe_sha256 else "another recipe"
    title = f"# Version {version.number}, " + (f"after version {version.parent}, {recipe}" if before is not None else "the first")
    lines = [title, "", "| | before | now | change |", "|---|---:|---:|---:|", *rows, ""]
    return "\n".join([*lines, *(f"- shards {what}: {len(names)}" for what, names in shards.items())]) + "\n"


def _counts(version: Version) -> dict[str, int]:
    return {**version.samples, **{f"inputs: {name}": count for name, count in version.inputs.items()}}
