"""Step *index_vocabulary*: an approximate index of each vocabulary, where the recipe asks for
one.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.build.markers import check_files, read_marker
from pipelines.build.plans import gathered, index_name
from pipelines.build.tables import INDEX_PLAN, VOCABULARY_INDEXES, VOCABULARY_VECTORS
from pipelines.engine.stage import BegunBuild, CorpusStep
from pipelines.storage.store import Store, digest
from pipelines.storage.temporary import temporary_folder
from schemas.build import IndexPlan, Vocabulary
from schemas.recipe import Recipe

_VERSION: Final = 1


def index_vocabularies(store: Store, recipe: Recipe) -> IndexPlan:
    """Build an index of each vocabulary's vectors; returns what was indexed.

    Skipped where nothing changed.
    """
    vocabularies = gathered(store).vocabularies
    names = [name for one in vocabularies for name in one.slices]
    marks = [read_marker(store, VOCABULARY_VECTORS.folder, name).hashed_files for name in names]
    expected = digest([_VERSION, recipe.corpus.seed, marks])
    before = INDEX_PLAN.read_before(store)
    if (
        before is not None
        and before.fingerprint == expected
        and all(store.exists(index_name(one)) for one in vocabularies)
    ):
        return before
    files = dict(_index(store, vocabulary, recipe.corpus.seed) for vocabulary in vocabularies)
    texts = sum(one.rows for one in vocabularies)
    plan = IndexPlan(fingerprint=expected, files=files, indexes=len(vocabularies), texts=texts)
    INDEX_PLAN.write(store, plan)
    return plan


def _index(store: Store, vocabulary: Vocabulary, seed: int) -> tuple[str, str]:
    """Build and publish an index; returns its name and SHA-256."""
    from pipelines.search.inverted_lists import build_index

    for name in vocabulary.slices:
        check_files(store, VOCABULARY_VECTORS.folder, name)
    with ExitStack() as at_hand, temporary_folder() as folder:
        files = [
            at_hand.enter_context(store.at_hand(VOCABULARY_VECTORS.file(name)))
            for name in vocabulary.slices
        ]
        made = Path(folder) / "index"
        build_index([np.load(file, mmap_mode="r") for file in files], made, seed)
        published = store.write_bytes(index_name(vocabulary), made.read_bytes())
    return published.name, published.sha256


def _index_step(build: BegunBuild) -> dict[str, int]:
    plan = index_vocabularies(build.store, build.recipe)
    return {"indexes": plan.indexes, "texts": plan.texts}


STEP: Final = CorpusStep(
    name="index_vocabulary",
    run=_index_step,
    writes=(VOCABULARY_INDEXES,),
    enabled=lambda recipe: recipe.indexes,
)
