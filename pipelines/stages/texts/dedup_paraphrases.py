"""Stage *distinct*: of the paraphrases, those that kept their source's meaning and are no near copy
of an earlier one.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.embedders import Vectors
from pipelines.embedders.minilm import DIMENSION
from pipelines.engine import bucket
from pipelines.engine.stage import (
    Done,
    Job,
    Stage,
    Summary,
    Together,
    begin_bucket,
    fingerprint,
    finished,
    marker_name,
    read_marker,
    write_marker,
)
from pipelines.paraphrasing.work import FOLDER as PARAPHRASES
from pipelines.stages.inputs.assign_buckets import read_plan
from pipelines.stages.texts import embed_paraphrases
from pipelines.stages.texts.embed_paraphrases import Embedded
from schemas.caption import Caption
from schemas.corpus import Captioned
from schemas.fact import Fact
from schemas.identity import Bucket
from schemas.recipe import CaptionRecipe, Writer

FOLDER: Final = "texts"
FactSet = frozenset[Fact]


class Index:
    """Vectors that were let in, by the facts that their texts state: only texts with the same facts
    can be copies of each other.

    That divides a corpus into small groups: the exact search stays cheap at a million texts (see
    the benchmark).
    """

    def __init__(self, max_similarity: float) -> None:
        self._limit = max_similarity
        self._rows: dict[FactSet, Vectors] = {}
        self._count: dict[FactSet, int] = defaultdict(int)

    def let_in(self, facts: FactSet, vectors: Vectors) -> list[bool]:
        """For texts with these facts, in order, whether each is no near copy of one that was let in
        before.
        """
        held = self._rows.get(facts, np.zeros((0, DIMENSION), np.float32))[: self._count[facts]]
        near = (vectors @ held.T).max(axis=1, initial=-1.0) >= self._limit
        among = vectors @ vectors.T
        into: list[int] = []
        for place in range(len(vectors)):
            if not near[place] and not (among[place, into] >= self._limit).any():
                into.append(place)
        self._add(facts, vectors[into])
        chosen = set(into)
        return [place in chosen for place in range(len(vectors))]

    def _add(self, facts: FactSet, vectors: Vectors) -> None:
        count, more = self._count[facts], len(vectors)
        rows = self._rows.get(facts)
        if rows is None:
            self._rows[facts] = vectors
        elif count + more <= len(rows):
            rows[count : count + more] = vectors
        else:
            grown = np.empty((max(2 * len(rows), count + more), DIMENSION), np.float32)
            grown[:count], grown[count : count + more] = rows[:count], vectors
            self._rows[facts] = grown
        self._count[facts] = count + more


def distinct_bucket(job: Job) -> Done:
    """All of a bucket's paraphrases, where none are by a language model."""
    rows = job.store.read_records(f"{PARAPHRASES}/{job.bucket}.parquet", Captioned)
    bucket.progress(len(bucket.read(job)))
    return _written(job, rows, {})


def distinct_together(stage: Stage, jobs: Sequence[Job]) -> Together:
    """Look through all buckets in order, a split at a time, and write those not done.

    What came first stays: later generations of a corpus never drop an earlier text.
    """
    found: list[Summary] = []
    indexes: dict[str, Index] = {}
    for job in sorted(jobs, key=lambda job: job.bucket):
        split = Bucket.parse(job.bucket).split.value
        index = indexes.setdefault(split, Index(job.recipe.caption.max_similarity))
        expected = fingerprint(stage, job)
        counts = finished(stage, job, expected)
        rows = job.store.read_records(f"{PARAPHRASES}/{job.bucket}.parquet", Captioned)
        kept, dropped = chosen(rows, embed_paraphrases.read(job), index, job.recipe.caption)
        if counts is not None:
            found.append(Summary(job.bucket, ran=False, counts=counts))
            continue
        begin_bucket(stage, job)
        done = _written(job, kept, dropped)
        write_marker(stage.folder, job, expected, done)
        found.append(Summary(job.bucket, ran=True, counts=done.counts))
        bucket.progress(len(bucket.read(job)))
    return Together(found, {})


def chosen(
    rows: Sequence[Captioned], embedded: Sequence[Embedded], index: Index, recipe: CaptionRecipe
) -> tuple[list[Captioned], dict[str, int]]:
    """The rows with the captions that stay, and how many were dropped, by reason."""
    captions = {row.sample_key: row.captions for row in rows}
    near_enough = [row for row in embedded if row.similarity >= recipe.min_similarity]
    groups: dict[FactSet, list[Embedded]] = defaultdict(list)
    for row in near_enough:
        groups[_facts(captions[row.sample_key][row.place])].append(row)
    stay: set[tuple[str, int]] = set()
    for facts, group in groups.items():
        flags = index.let_in(facts, np.stack([row.vector for row in group]))
        stay |= {
            (row.sample_key, row.place) for row, flag in zip(group, flags, strict=True) if flag
        }
    kept = [
        row.replaced(
            captions=tuple(
                caption
                for place, caption in enumerate(row.captions)
                if (row.sample_key, place) in stay
            )
        )
        for row in rows
    ]
    return kept, {
        "dropped_meaning": len(embedded) - len(near_enough),
        "dropped_near_duplicate": len(near_enough) - len(stay),
    }


def _facts(caption: Caption) -> FactSet:
    return frozenset(fact.at(0) for fact in caption.facts)


def _written(job: Job, rows: Sequence[Captioned], dropped: dict[str, int]) -> Done:
    file = job.store.write_records(f"{FOLDER}/{job.bucket}.parquet", Captioned, rows)
    return Done([file], {"kept": sum(len(row.captions) for row in rows), **dropped})


def _before(job: Job) -> str | None:
    """What the bucket before this one in its split came from, and so on to the first: an earlier
    text decides about a later one.
    """
    if job.recipe.caption.paraphraser is not Writer.OPENAI:
        return None
    split = Bucket.parse(job.bucket).split
    earlier = [
        name
        for name in read_plan(job.store)["buckets"]
        if name < job.bucket and Bucket.parse(name).split is split
    ]
    marker = marker_name(FOLDER, max(earlier, default=""))
    return (
        str(read_marker(job.store, FOLDER, max(earlier))["fingerprint"])
        if earlier and job.store.exists(marker)
        else ""
    )


STAGE: Final = Stage(
    "distinct",
    FOLDER,
    2,
    ("caption.paraphraser", "caption.min_similarity", "caption.max_similarity"),
    ("clips", PARAPHRASES, embed_paraphrases.FOLDER),
    distinct_bucket,
    looks_at=_before,
    together=lambda recipe: (
        distinct_together if recipe.caption.paraphraser is Writer.OPENAI else None
    ),
)
