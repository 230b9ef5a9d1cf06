"""Stage *dedup_paraphrases*: of the paraphrases, those that kept their source's meaning and are no
near copy of an earlier one.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.build.embeddings import EmbeddedText
from pipelines.build.markers import Done, marker_name, read_marker, write_marker
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import CLIPS, PARAPHRASES, TEXT_EMBEDDINGS, TEXTS
from pipelines.embedders import Vectors
from pipelines.embedders.minilm import DIMENSION
from pipelines.engine import bucket
from pipelines.engine.stage import Stage, Summary, Together, begin_bucket, fingerprint, finished
from schemas.caption import Caption
from schemas.corpus import SampleCaptions
from schemas.fact import Fact
from schemas.identity import Bucket
from schemas.recipe import CaptionRecipe, Paraphraser

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
        """For texts with these facts, in order, whether each is not a near copy of one that was let
        in before.
        """
        held = self._rows.get(facts, np.zeros((0, DIMENSION), np.float32))[: self._count[facts]]
        near = (vectors @ held.T).max(axis=1, initial=-1.0) >= self._limit
        among = vectors @ vectors.T
        into: list[int] = []
        for index in range(len(vectors)):
            if not near[index] and not (among[index, into] >= self._limit).any():
                into.append(index)
        self._add(facts, vectors[into])
        chosen = set(into)
        return [index in chosen for index in range(len(vectors))]

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
    rows = PARAPHRASES.read(job)
    bucket.progress(len(CLIPS.read(job)))
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
        rows = PARAPHRASES.read(job)
        kept, dropped = chosen(rows, TEXT_EMBEDDINGS.read(job), index, job.recipe.caption)
        if counts is not None:
            found.append(Summary(job.bucket, ran=False, counts=counts))
            continue
        begin_bucket(stage, job)
        done = _written(job, kept, dropped)
        write_marker(stage.folder, job, expected, done)
        found.append(Summary(job.bucket, ran=True, counts=done.counts))
        bucket.progress(len(CLIPS.read(job)))
    return Together(found, {})


def chosen(
    rows: Sequence[SampleCaptions],
    embedded: Sequence[EmbeddedText],
    index: Index,
    recipe: CaptionRecipe,
) -> tuple[list[SampleCaptions], dict[str, int]]:
    """The rows with the captions that stay, and how many were dropped, by reason."""
    captions = {row.sample_key: row.captions for row in rows}
    near_enough = [row for row in embedded if row.similarity >= recipe.min_similarity]
    groups: dict[FactSet, list[EmbeddedText]] = defaultdict(list)
    for row in near_enough:
        groups[_facts(captions[row.sample_key][row.place])].append(row)
    stay: set[tuple[str, int]] = set()
    for facts, group in groups.items():
        flags = index.let_in(facts, np.stack([row.vector for row in group]))
        stay |= {
            (row.sample_key, row.place) for row, flag in zip(group, flags, strict=True) if flag
        }

    def staying(row: SampleCaptions) -> SampleCaptions:
        captions = tuple(
            caption
            for number, caption in enumerate(row.captions)
            if (row.sample_key, number) in stay
        )
        return row.replaced(captions=captions)

    kept = [staying(row) for row in rows]
    return kept, {
        "dropped_meaning": len(embedded) - len(near_enough),
        "dropped_near_duplicate": len(near_enough) - len(stay),
    }


def _facts(caption: Caption) -> FactSet:
    return frozenset(fact.at(0) for fact in caption.facts)


def _written(job: Job, rows: Sequence[SampleCaptions], dropped: dict[str, int]) -> Done:
    return Done(
        [TEXTS.write(job, rows)], {"kept": sum(len(row.captions) for row in rows), **dropped}
    )


def _before(job: Job) -> str | None:
    """What the bucket before this one in its split came from, and so on to the first: an earlier
    text decides about a later one.
    """
    if job.recipe.caption.paraphraser is not Paraphraser.OPENAI:
        return None
    split = Bucket.parse(job.bucket).split
    earlier = [
        name
        for name in read_plan(job.store).buckets
        if name < job.bucket and Bucket.parse(name).split is split
    ]
    if not earlier or not job.store.exists(marker_name(TEXTS.folder, max(earlier))):
        return ""
    return read_marker(job.store, TEXTS.folder, max(earlier)).fingerprint


STAGE: Final = Stage(
    name="dedup_paraphrases",
    version=2,
    reads=(CLIPS, PARAPHRASES, TEXT_EMBEDDINGS),
    writes=(TEXTS,),
    knobs=("caption.paraphraser", "caption.min_similarity", "caption.max_similarity"),
    run=distinct_bucket,
    run_all=lambda recipe: (
        distinct_together if recipe.caption.paraphraser is Paraphraser.OPENAI else None
    ),
    extra_fingerprint=_before,
)
