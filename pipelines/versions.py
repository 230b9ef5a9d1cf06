"""Versions of a dataset: each build that changed it adds one, which names its parent and what became of each shard."""

import hashlib
import json
from typing import Any, Final

from pipelines.slicing import LISTING
from pipelines.stage import marker_name
from pipelines.store import Store
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
    dataset_sha256 = _hash(dataset)
    if last is not None and last.dataset_sha256 == dataset_sha256 and last.listing_sha256 == listing_sha256(store):
        return last
    shards = {shard["file"]: shard["sha256"] for shard in dataset["shards"]}
    before = last.shards if last is not None else {}
    version = Version(
        number=1 if last is None else last.number + 1,
        parent=None if last is None else last.number,
        obbligato=dataset["obbligato"],
        recipe_sha256=recipe_sha256(recipe),
        listing_sha256=listing_sha256(store),
        dataset_sha256=dataset_sha256,
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


def read_version(store: Store, number: int | None) -> Version | None:
    """A version by its number; none for the parent of the first."""
    return None if number is None else Version.model_validate(store.read_json(f"{_FOLDER}/{number:05d}.json"))


def listing_sha256(store: Store) -> str:
    """One hash over all inputs as they were listed: names, sizes, times, captions."""
    slices = store.read_json(LISTING)["slices"]
    return _hash({name: store.read_json(marker_name("listing", name))["files"] for name in slices})


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of a recipe, every knob of it."""
    return _hash(recipe.model_dump(mode="json"))


def what_changed(version: Version, before: Version | None) -> str:
    """What a version changed against the one before, in Markdown."""
    counts = [*version.samples.items(), *((f"inputs: {name}", count) for name, count in version.inputs.items())]
    old = {**before.samples, **{f"inputs: {name}": count for name, count in before.inputs.items()}} if before is not None else {}
    rows = [f"| {name} | {old.get(name, 0)} | {count} | {count - old.get(name, 0):+d} |" for name, count in counts]
    shards = {"added": version.added, "changed": version.changed, "removed": version.removed}
    recipe = "the same recipe" if before is not None and before.recipe_sha256 == version.recipe_sha256 else "another recipe"
    title = f"# Version {version.number}, " + (f"after version {version.parent}, {recipe}" if before is not None else "the first")
    lines = [title, "", "| | before | now | change |", "|---|---:|---:|---:|", *rows, ""]
    return "\n".join([*lines, *(f"- shards {what}: {len(names)}" for what, names in shards.items())]) + "\n"


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
