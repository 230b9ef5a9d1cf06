"""Stage *embed_audio*: where each clip lies in the embedder's space, and its fingerprint."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.audio import decode
from pipelines.audio.fingerprint import Fingerprint
from pipelines.embedders import Description, Vectors
from pipelines.embedders.child import Embedded, Excerpt
from pipelines.engine import bucket as clips
from pipelines.engine.child_process import Child, Death
from pipelines.engine.stage import Done, Job, Stage
from pipelines.errors import PipelineError
from pipelines.plug_ins import stated
from pipelines.storage.arrow import read_table
from pipelines.storage.store import Published, parquet_bytes
from schemas.label_recipe import LabelRecipe
from schemas.labels import Annotation, Labels
from schemas.recipe import LimitsRecipe, Recipe

FOLDER: Final = "embeddings"
_BATCHES: Final = 4  # per call of the child: files are read ahead within a call


class HeardClip(NamedTuple):
    """A clip's unit vector, in half precision as it is stored, and its fingerprint."""

    clip_key: str
    vector: Vectors
    fingerprint: Fingerprint


def embed_bucket(job: Job) -> Done:
    """Embed a bucket's clips; those that cannot be embedded go on without pseudo-labels."""
    recipe, bucket_clips = job.recipe.label, clips.read(job)
    labels = _labels(job)
    found: list[HeardClip] = []
    dead: list[tuple[str, Death]] = []
    # the others died when they were annotated
    usable = [clip for clip in bucket_clips if labels is None or clip.clip_key in labels]
    with clips.local_files(job) as local, embedder_child(recipe, job.recipe.limits) as child:
        for batch in clips.batches(usable, per_call(recipe)):
            excerpts = [
                Excerpt(
                    local(clip.source),
                    clip.start_s,
                    clip.end_s,
                    labels[clip.clip_key] if labels is not None else None,
                )
                for clip in batch
            ]
            for clip, made in zip(
                batch,
                child.run("pipelines.embedders.child:embed_excerpts", excerpts, recipe),
                strict=True,
            ):
                if isinstance(made, Death):
                    dead.append((clip.clip_key, made))
                else:
                    found.append(_heard(clip.clip_key, made))
            clips.progress(len(batch))
    clips.progress(len(bucket_clips) - len(usable))
    counts = {"clips": len(bucket_clips), "embedded": len(found), "dead": len(dead)}
    return Done(
        [
            write(job, found, description(job.recipe).dimension),
            *clips.write_dead(job, FOLDER, dead),
        ],
        counts,
    )


def _labels(job: Job) -> dict[str, Labels] | None:
    """Labels by clip where the embedder reads them."""
    if not description(job.recipe).reads_labels:
        return None
    return {
        row.clip_key: row.labels
        for row in job.store.read_records(f"annotations/{job.bucket}.parquet", Annotation)
    }


def _heard(key: str, made: Embedded) -> HeardClip:
    if not np.isfinite(made.vector).all():
        raise PipelineError(
            f"the embedder gave clip {key} a vector that is not finite; "
            "it cannot be used with this device or these weights"
        )
    return HeardClip(key, made.vector, made.fingerprint)


def per_call(recipe: LabelRecipe) -> int:
    """Clips or texts that a child is given at once."""
    return _BATCHES * recipe.batch


def embedder_child(recipe: LabelRecipe, limits: LimitsRecipe) -> AbstractContextManager[Child]:
    """A child that can hold the recipe's embedder, in the environment that it needs.

    Limits are of a call with many clips.
    """
    return clips.model_child(limits, recipe.device, per_call(recipe), recipe.python)


def description(recipe: Recipe) -> Description:
    """What the recipe's embedder is; asked once per process.

    Raises `PipelineError` where it is not there.
    """
    return _described(
        recipe.label.model_copy(update={"vocabularies": (), "exclude": ()}), recipe.limits
    )


@lru_cache(maxsize=4)
def _described(label: LabelRecipe, limits: LimitsRecipe) -> Description:
    with embedder_child(label, limits) as child:
        [found] = child.run("pipelines.embedders.child:describe", [label], None)
    if isinstance(found, Death):
        raise PipelineError(f"embedder {label.embedder} cannot be had: {found.message}")
    described: Description = found
    return described


def write(job: Job, rows: Sequence[HeardClip], dimension: int) -> Published:
    """Publish a bucket's embeddings."""
    vectors = (
        np.stack([row.vector for row in rows]) if rows else np.zeros((0, dimension), np.float32)
    )
    columns = {
        "clip_key": pa.array([row.clip_key for row in rows], pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.astype(np.float16).reshape(-1)), dimension
        ),
        "fingerprint": pa.array(
            [row.fingerprint.astype("<u4").tobytes() for row in rows], pa.binary()
        ),
    }
    return job.store.write_bytes(f"{FOLDER}/{job.bucket}.parquet", parquet_bytes(pa.table(columns)))


def read(job: Job, bucket: str = "") -> list[HeardClip]:
    """Embeddings of a job's bucket, or another's, in key order."""
    table = read_table(job.store, f"{FOLDER}/{bucket or job.bucket}.parquet").combine_chunks()
    if not len(table):
        return []
    vectors = table.column("vector").chunk(0)
    rows = vectors.flatten().to_numpy().astype(np.float32).reshape(len(table), -1)
    prints = (np.frombuffer(cell, "<u4") for cell in table.column("fingerprint").to_pylist())
    return [
        HeardClip(*row)
        for row in zip(table.column("clip_key").to_pylist(), rows, prints, strict=True)
    ]


def embedder_tools(recipe: Recipe) -> dict[str, str]:
    """The embedder's weights."""
    found = description(recipe)
    return {found.name: stated(found.version, found.package)}


def tools(recipe: Recipe) -> dict[str, str]:
    """The embedder's weights, and what decodes."""
    return {**embedder_tools(recipe), **decode.tools()}


STAGE: Final = Stage(
    "embed_audio",
    FOLDER,
    1,
    ("label.embedder", "label.model", "label.device", "label.batch"),
    ("clips",),
    embed_bucket,
    tools,
    asked=lambda recipe: recipe.embeds,
    may_need=lambda recipe: ("annotations",) if description(recipe).reads_labels else (),
)
