"""Step *index*: an approximate index of each vocabulary, where the recipe asks for one."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ConfigDict

from pipelines.engine.stage import check_files, digest, read_marker
from pipelines.stages.texts import embed_vocabulary
from pipelines.stages.texts.gather_vocabulary import Vocabulary, read_plan
from pipelines.storage.store import Store
from pipelines.storage.temporary import temporary_folder
from schemas.recipe import Recipe
from schemas.record import Record
from schemas.shard import Sha256

FOLDER: Final = "vocabulary_index"
PLAN: Final = f"{FOLDER}/plan.json"
_VERSION: Final = 1


class Plan(Record):
    """The form of an index's plan."""

    model_config = ConfigDict(extra="ignore")

    fingerprint: str
    files: dict[str, Sha256]
    indexes: int
    texts: int


def index_vocabularies(store: Store, recipe: Recipe) -> dict[str, Any]:
    """Build an index of each vocabulary's vectors; returns what was indexed.

    Skipped where nothing changed.
    """
    vocabularies = read_plan(store)
    marks = [
        read_marker(store, embed_vocabulary.FOLDER, name)["files"]
        for one in vocabularies
        for name in one.slices
    ]
    expected = digest([_VERSION, recipe.corpus.seed, marks])
    before = store.stated_before(PLAN, Plan)
    if before.get("fingerprint") == expected and all(
        store.exists(index_name(one)) for one in vocabularies
    ):
        return dict(before)
    files = dict(_index(store, vocabulary, recipe.corpus.seed) for vocabulary in vocabularies)
    plan = {
        "fingerprint": expected,
        "files": files,
        "indexes": len(vocabularies),
        "texts": sum(one.rows for one in vocabularies),
    }
    store.write_sealed(PLAN, plan)
    return plan


def indexed(store: Store) -> dict[str, str]:
    """Files of all indexes, with their SHA-256.

    Raises `Damaged`, and `FileNotFoundError` before they are made.
    """
    files: dict[str, str] = store.read_stated(PLAN, Plan)["files"]
    return files


def index_name(vocabulary: Vocabulary) -> str:
    """File of a vocabulary's index."""
    return f"{FOLDER}/{vocabulary.slices[0].rpartition('-')[0]}.faiss"


def _index(store: Store, vocabulary: Vocabulary, seed: int) -> tuple[str, str]:
    """Build and publish an index; returns its name and SHA-256."""
    from pipelines.search.inverted_lists import build_index

    for name in vocabulary.slices:
        check_files(store, embed_vocabulary.FOLDER, name)
    with ExitStack() as at_hand, temporary_folder() as folder:
        files = [
            at_hand.enter_context(store.at_hand(f"{embed_vocabulary.FOLDER}/{name}.npy"))
            for name in vocabulary.slices
        ]
        made = Path(folder) / "index"
        build_index([np.load(file, mmap_mode="r") for file in files], made, seed)
        published = store.write_bytes(index_name(vocabulary), made.read_bytes())
    return published.name, published.sha256
