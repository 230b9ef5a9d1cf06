"""Stage *match_texts*: the texts of each vocabulary that lie nearest to each clip."""

import atexit
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

import pyarrow as pa

from pipelines.build.markers import Done, check_files
from pipelines.build.outputs import Job
from pipelines.build.plans import gathered, index_name, indexed
from pipelines.build.tables import CLIPS, EMBEDDINGS, MATCHES, VOCABULARY, VOCABULARY_VECTORS
from pipelines.embedders.recipe_embedder import (
    TEXTS_VERSION,
    description,
    embedder_child,
    embedder_tools,
)
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.errors import Damaged, PipelineError
from pipelines.search.child import NearestTexts, SearchRequest, VectorSpace, match
from pipelines.storage.store import Store
from schemas.build import Vocabulary
from schemas.label_recipe import Search
from schemas.pseudo_label import CandidateText, Matched

# local copies of what lies on an object store, kept for as long as the process
_AT_HAND: Final = ExitStack()
atexit.register(_AT_HAND.close)


class MappedTexts(NamedTuple):
    """A vocabulary's texts, mapped into memory, with the number of its first row in all."""

    vocabulary: Vocabulary
    first: int
    tables: tuple[pa.Table, ...]
    ends: tuple[int, ...]

    def candidate(self, row: int, rank: int, similarity: float) -> CandidateText:
        """The text of a row, as a clip's candidate."""
        slice_index = bisect_right(self.ends, row)
        at = row - (self.ends[slice_index - 1] if slice_index else 0)
        text, source, licence = (
            self.tables[slice_index].column(name)[at].as_py()
            for name in ("text", "source", "licence")
        )
        return CandidateText(
            entry=self.first + row,
            text=text,
            form=self.vocabulary.form,
            vocabulary=self.vocabulary.name,
            source=source,
            licence=licence,
            rank=rank,
            similarity=similarity,
        )


def match_bucket(job: Job) -> Done:
    """Find the candidates of a bucket's clips."""
    embeddings = EMBEDDINGS.read(job)
    in_force = seen(job)
    texts = _texts(job.store.url, in_force)
    found = _found(job, [clip.vector for clip in embeddings], texts, in_force) if embeddings else []
    rows: list[Matched] = []
    for clip, matched in zip(embeddings, found, strict=True):
        candidates = tuple(
            of.candidate(one.row, rank, one.similarity)
            for of, near in zip(texts, matched.near, strict=True)
            for rank, one in enumerate(near, start=1)
        )
        rows.append(Matched(clip_key=clip.clip_key, candidates=candidates))
    bucket.progress(len(CLIPS.read(job)))
    counts = {"clips": len(rows), "candidates": sum(len(row.candidates) for row in rows)}
    if job.recipe.label.search is Search.APPROXIMATE:
        counts["exact_looked_for"] = sum(one.checked for one in found)
        counts["exact_missed"] = sum(one.missed for one in found)
    return Done([MATCHES.write(job, rows)], counts)


def _found(
    job: Job, vectors: Sequence[Any], texts: Sequence[MappedTexts], in_force: str
) -> list[NearestTexts]:
    recipe, mark = job.recipe.label, f"{in_force} {description(job.recipe)}"
    spaces = tuple(
        VectorSpace(_files(job.store, of.vocabulary, mark), _index(job, of.vocabulary), mark)
        for of in texts
    )
    with embedder_child(recipe.model_copy(update={"python": ""}), job.recipe.limits) as child:
        results = child.run(match, vectors, SearchRequest(spaces, recipe))
    found: list[NearestTexts] = []
    for one in results:
        if isinstance(one, Death):
            raise PipelineError(
                f"{job.bucket}: the search for texts died ({one.code}): {one.message}"
            )
        found.append(one)
    return found


def _files(store: Store, vocabulary: Vocabulary, mark: str) -> tuple[str, ...]:
    return tuple(_vectors(store.url, name, mark) for name in vocabulary.slices)


def _index(job: Job, vocabulary: Vocabulary) -> str:
    if job.recipe.label.search is Search.EXACT:
        return ""
    name = index_name(vocabulary)
    return _checked_index(job.store.url, name, indexed(job.store)[name])


@lru_cache(maxsize=65_536)
def _vectors(url: str, name: str, _mark: str) -> str:
    """A local path of vectors that many buckets read, once they are found as written."""
    store = Store(url)
    check_files(store, VOCABULARY_VECTORS.folder, name)
    return _AT_HAND.enter_context(store.at_hand(VOCABULARY_VECTORS.file(name)))


@lru_cache(maxsize=64)
def _checked_index(url: str, name: str, sha256: str) -> str:
    """A local path of an index that many buckets read.

    Raises `Damaged` where it is not as it was written.
    """
    store = Store(url)
    if store.sha256(name) != sha256:
        store.delete(name)
        raise Damaged(
            f"{url}/{name} is not what was written: "
            "its SHA-256 has changed; run again, and it is made anew"
        )
    return _AT_HAND.enter_context(store.at_hand(name))


@lru_cache(maxsize=2)
def _texts(url: str, _seen: str) -> tuple[MappedTexts, ...]:
    """The texts of all vocabularies, mapped into memory."""
    store = Store(url)
    return tuple(_mapped(store, gathered(store).vocabularies))


def _mapped(store: Store, vocabularies: Sequence[Vocabulary]) -> Iterator[MappedTexts]:
    first = 0
    for vocabulary in vocabularies:
        for name in vocabulary.slices:
            check_files(store, VOCABULARY.folder, name)
        files = (
            _AT_HAND.enter_context(store.at_hand(VOCABULARY.file(name)))
            for name in vocabulary.slices
        )
        tables = tuple(map(_mapped_table, files))
        yield MappedTexts(
            vocabulary, first, tables, tuple(accumulate(len(table) for table in tables))
        )
        first += vocabulary.rows


def _mapped_table(file: str) -> pa.Table:
    """A table whose cells lie in the file.

    The mapping outlives the opened file: a large vocabulary has a thousand of them.
    """
    with pa.memory_map(file) as opened:
        return pa.ipc.open_file(opened).read_all()


def seen(job: Job) -> str:
    """The vocabularies in force, and how their vectors were computed."""
    return f"{gathered(job.store).content} {TEXTS_VERSION} {job.recipe.label.batch}"


STAGE: Final = Stage(
    name="match_texts",
    version=1,
    reads=(CLIPS, EMBEDDINGS),
    writes=(MATCHES,),
    knobs=(
        "label.nearest",
        "label.min_similarity",
        "label.max_similarity",
        "label.search",
        "label.probes",
        "label.device",
    ),
    run=match_bucket,
    tools=embedder_tools,
    enabled=lambda recipe: recipe.labels,
    extra_fingerprint=seen,
)
