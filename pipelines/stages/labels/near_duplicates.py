"""Stage *near_duplicates*: clips of different songs that are the same recording, over the whole
corpus.

Embeddings propose, fingerprints decide. Each clip's vector is hashed by random hyperplanes into
several tables (Charikar, 2002); clips that share a hash in a table, and whose longer signatures
say that they are near, are compared: vectors, then fingerprints.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.audio.fingerprint import agreement
from pipelines.build.embeddings import ClipEmbedding
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import CLIPS, EMBEDDINGS, NEAR_DUPLICATES
from pipelines.engine import bucket as clips
from pipelines.engine.stage import Shuffle, Stage
from pipelines.search.lsh import Hashing, Words, near_pairs, signatures
from schemas.identity import Bucket, keyed_rng
from schemas.pseudo_label import NearDuplicate
from schemas.recipe import Recipe

_CLIPS_A_SHARE: Final = 500_000  # of a hash table: what one worker holds, 50 MB
ComparedRows = tuple[int, str, int]  # a row of one bucket; bucket and row of the other


class TableShare(NamedTuple):
    """Some of a bucket's clips, with their rows there, in a share of a hash table: hashes,
    signatures (rows, words), songs as numbers.
    """

    bucket: str
    rows: npt.NDArray[np.int32]
    hashes: Words
    signatures: Words
    songs: Words


def emit(job: Job) -> Iterator[tuple[tuple[int, int], TableShare]]:
    """A bucket's clips once per hash table.

    A table of a large corpus is shared out by the first bits of the hashes.
    """
    embeddings = EMBEDDINGS.read(job)
    if not embeddings:
        return
    total = sum(read_plan(job.store).clips.values())
    hashing = Hashing.for_corpus(total, job.recipe.near_duplicates)
    shared_bits = min(hashing.bits, max(0, math.ceil(math.log2(max(1, total) / _CLIPS_A_SHARE))))
    signed = signatures(
        np.stack([clip.vector for clip in embeddings]),
        hashing,
        keyed_rng(job.recipe.corpus.seed, "near", "hyperplanes"),
    )
    songs = np.array([int(clip.clip_key.partition("-")[0], 16) for clip in embeddings], np.uint64)
    for table, hashes in enumerate(signed.hashes_TN):
        share_of = hashes >> np.uint64(hashing.bits - shared_bits)
        for share in np.unique(share_of).tolist():
            rows = np.flatnonzero(share_of == share)
            yield (
                (table, share),
                TableShare(
                    job.bucket,
                    rows.astype(np.int32),
                    hashes[rows],
                    signed.signatures_NW[rows],
                    songs[rows],
                ),
            )


def reduce(
    recipe: Recipe, _: tuple[int, int], shares: list[TableShare]
) -> Iterator[tuple[str, ComparedRows]]:
    """Pairs of clips of different songs that share a hash and have similar signatures, for both
    clips' buckets.
    """
    shares = sorted(shares, key=lambda share: share.bucket)
    owners = [(share.bucket, row) for share in shares for row in share.rows.tolist()]
    songs = np.concatenate([share.songs for share in shares])
    hashes = np.concatenate([share.hashes for share in shares])
    signed = np.concatenate([share.signatures for share in shares])
    for one, other in near_pairs(hashes, signed, recipe.near_duplicates.min_similarity):
        if songs[one] != songs[other]:
            for (bucket, row), match in (
                (owners[one], owners[other]),
                (owners[other], owners[one]),
            ):
                yield bucket, (row, *match)


def receive(job: Job, rows: list[ComparedRows]) -> Done:
    """Compare a bucket's clips with their candidates, and write the proved near-duplicates."""
    own, recipe = EMBEDDINGS.read(job), job.recipe.near_duplicates
    by_bucket: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for row, bucket, other in rows:
        by_bucket[bucket].add((row, other))
    found: list[NearDuplicate] = []
    for bucket, pairs in sorted(by_bucket.items()):
        others = own if bucket == job.bucket else EMBEDDINGS.read(job, bucket)
        compared = (
            _near_duplicate(own[row], others[other], bucket) for row, other in sorted(pairs)
        )
        found += [
            copy
            for copy in compared
            if copy.similarity >= recipe.min_similarity and copy.agreement >= recipe.min_agreement
        ]
    found.sort(key=lambda copy: (copy.clip_key, copy.twin))
    clips.progress(len(CLIPS.read(job)))
    return Done([NEAR_DUPLICATES.write(job, found)], _counts(job, found, by_bucket))


def _near_duplicate(one: ClipEmbedding, other: ClipEmbedding, bucket: str) -> NearDuplicate:
    matched = agreement(one.fingerprint, other.fingerprint)
    return NearDuplicate(
        clip_key=one.clip_key,
        twin=other.clip_key,
        twin_split=Bucket.parse(bucket).split,
        # above 1 by half precision
        similarity=round(min(1.0, float(one.vector @ other.vector)), 4),
        agreement=matched.share,
        shift_s=matched.shift_s,
    )


def _counts(
    job: Job, found: Sequence[NearDuplicate], pairs_by_bucket: dict[str, set[tuple[int, int]]]
) -> dict[str, int]:
    """Clips compared, clips with a near-duplicate, and those whose near-duplicate is in another
    split.
    """
    split = Bucket.parse(job.bucket).split
    compared = sum(len(pairs) for pairs in pairs_by_bucket.values())
    copied = {copy.clip_key for copy in found}
    across = {copy.clip_key for copy in found if copy.twin_split is not split}
    return {"compared": compared, "with_twin": len(copied), "across_splits": len(across)}


STAGE: Final = Stage(
    name="near_duplicates",
    version=1,
    reads=(CLIPS, EMBEDDINGS),
    writes=(NEAR_DUPLICATES,),
    knobs=("near_duplicates",),
    shuffle=Shuffle(emit=emit, reduce=reduce, receive=receive),
    enabled=lambda recipe: recipe.finds_copies,
)
