"""Stage *match*: the texts of each vocabulary that lie nearest to each clip."""

import atexit
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

import pyarrow as pa

from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Done, Job, Stage, check_files
from pipelines.errors import Damaged, PipelineError
from pipelines.search.child import Found, Request, Space
from pipelines.stages.labels import embed_audio
from pipelines.stages.labels.embed_audio import description, embedder_child, embedder_tools
from pipelines.stages.texts import embed_vocabulary, gather_vocabulary, index_vocabulary
from pipelines.stages.texts.gather_vocabulary import Vocabulary
from pipelines.storage.store import Store
from schemas.label_recipe import Search
from schemas.pseudo_label import Candidate, Matched

FOLDER: Final = "matches"
# local copies of what lies on an object store, kept for as long as the process
_AT_HAND: Final = ExitStack()
atexit.register(_AT_HAND.close)


class Texts(NamedTuple):
    """A vocabulary's texts, mapped into memory, with the number of its first row in all."""

    vocabulary: Vocabulary
    first: int
    tables: tuple[pa.Table, ...]
    ends: tuple[int, ...]

    def candidate(self, row: int, rank: int, similarity: float) -> Candidate:
        """The text of a row, as a clip's candidate."""
        place = bisect_right(self.ends, row)
        at = row - (self.ends[place - 1] if place else 0)
        text, source, licence = (
            self.tables[place].column(name)[at].as_py() for name in ("text", "source", "licence")
        )
        return Candidate(
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
    heard = embed_audio.read(job)
    in_force = seen(job)
    texts = _texts(job.store.url, in_force)
    found = _found(job, [clip.vector for clip in heard], texts, in_force) if heard else []
    rows = [
        Matched(
            clip_key=clip.clip_key,
            candidates=tuple(
                of.candidate(one.row, rank, one.similarity)
                for of, near in zip(texts, matched.near, strict=True)
                for rank, one in enumerate(near, start=1)
            ),
        )
        for clip, matched in zip(heard, found, strict=True)
    ]
    bucket.progress(len(bucket.read(job)))
    counts = {"clips": len(rows), "candidates": sum(len(row.candidates) for row in rows)}
    if job.recipe.label.search is Search.APPROXIMATE:
        counts |= {
            "exact_looked_for": sum(one.checked for one in found),
            "exact_missed": sum(one.missed for one in found),
        }
    return Done([job.store.write_records(f"{FOLDER}/{job.bucket}.parquet", Matched, rows)], counts)


def _found(job: Job, vectors: Sequence[Any], texts: Sequence[Texts], in_force: str) -> list[Found]:
    recipe, mark = job.recipe.label, f"{in_force} {description(job.recipe)}"
    spaces = tuple(
        Space(_files(job.store, of.vocabulary, mark), _index(job, of.vocabulary), mark)
        for of in texts
    )
    with embedder_child(recipe.model_copy(update={"python": ""}), job.recipe.limits) as child:
        found = child.run("pipelines.search.child:match", vectors, Request(spaces, recipe))
    dead = next((one for one in found if isinstance(one, Death)), None)
    if dead is not None:
        raise PipelineError(
            f"{job.bucket}: the search for texts died ({dead.code}): {dead.message}"
        )
    return found


def _files(store: Store, vocabulary: Vocabulary, mark: str) -> tuple[str, ...]:
    return tuple(_vectors(store.url, name, mark) for name in vocabulary.slices)


def _index(job: Job, vocabulary: Vocabulary) -> str:
    if job.recipe.label.search is Search.EXACT:
        return ""
    name = index_vocabulary.index_name(vocabulary)
    return _checked_index(job.store.url, name, index_vocabulary.indexed(job.store)[name])


@lru_cache(maxsize=65_536)
def _vectors(url: str, name: str, _mark: str) -> str:
    """A local path of vectors that many buckets read, once they are found as written."""
    store = Store(url)
    check_files(store, embed_vocabulary.FOLDER, name)
    return _AT_HAND.enter_context(store.at_hand(f"{embed_vocabulary.FOLDER}/{name}.npy"))


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
def _texts(url: str, _seen: str) -> tuple[Texts, ...]:
    """The texts of all vocabularies, mapped into memory."""
    store = Store(url)
    return tuple(_mapped(store, gather_vocabulary.read_plan(store)))


def _mapped(store: Store, vocabularies: Sequence[Vocabulary]) -> Iterator[Texts]:
    first = 0
    for vocabulary in vocabularies:
        for name in vocabulary.slices:
            check_files(store, gather_vocabulary.FOLDER, name)
        files = (
            _AT_HAND.enter_context(store.at_hand(f"{gather_vocabulary.FOLDER}/{name}.arrow"))
            for name in vocabulary.slices
        )
        tables = tuple(map(_mapped_table, files))
        yield Texts(vocabulary, first, tables, tuple(accumulate(len(table) for table in tables)))
        first += vocabulary.rows


def _mapped_table(file: str) -> pa.Table:
    """A table whose cells lie in the file.

    The mapping outlives the opened file: a large vocabulary has a thousand of them.
    """
    with pa.memory_map(file) as opened:
        return pa.ipc.open_file(opened).read_all()


def seen(job: Job) -> str:
    """The vocabularies in force, and how their vectors were computed."""
    return (
        f"{gather_vocabulary.gathered(job.store)['content']} "
        f"{embed_vocabulary.STAGE.version} {job.recipe.label.batch}"
    )


STAGE: Final = Stage(
    "match",
    FOLDER,
    1,
    (
        "label.nearest",
        "label.min_similarity",
        "label.max_similarity",
        "label.search",
        "label.probes",
        "label.device",
    ),
    ("clips", embed_audio.FOLDER),
    match_bucket,
    embedder_tools,
    looks_at=seen,
    asked=lambda recipe: recipe.labels,
)
