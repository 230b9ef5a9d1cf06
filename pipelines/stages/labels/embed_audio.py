"""Stage *embed_audio*: where each clip lies in the embedder's space, and its fingerprint."""

from typing import Any, Final

import numpy as np

from pipelines.audio import decode
from pipelines.build.corrections import annotations_in_force, laid_over
from pipelines.build.embeddings import ClipEmbedding
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS, EMBEDDINGS
from pipelines.embedders.child import EmbeddedClip, SourceExcerpt, embed_excerpts
from pipelines.embedders.recipe_embedder import (
    description,
    embedder_child,
    embedder_tools,
    per_call,
)
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.errors import PipelineError
from schemas.labels import Labels
from schemas.recipe import Recipe


def embed_bucket(job: Job) -> Done:
    """Embed a bucket's clips; those that cannot be embedded go on without pseudo-labels."""
    recipe, bucket_clips = job.recipe.label, CLIPS.read(job)
    labels = _labels(job)
    found: list[ClipEmbedding] = []
    dead: list[tuple[str, Death]] = []
    # the others died when they were annotated
    usable = [clip for clip in bucket_clips if labels is None or clip.clip_key in labels]
    with bucket.local_files(job) as local, embedder_child(recipe, job.recipe.limits) as child:
        for batch in bucket.batches(usable, per_call(recipe)):
            excerpts = [
                SourceExcerpt(
                    local(clip.source),
                    clip.start_s,
                    clip.end_s,
                    labels[clip.clip_key] if labels is not None else None,
                )
                for clip in batch
            ]
            for clip, made in zip(batch, child.run(embed_excerpts, excerpts, recipe), strict=True):
                if isinstance(made, Death):
                    dead.append((clip.clip_key, made))
                else:
                    found.append(_finite(clip.clip_key, made))
            bucket.progress(len(batch))
    bucket.progress(len(bucket_clips) - len(usable))
    counts = {"clips": len(bucket_clips), "embedded": len(found), "dead": len(dead)}
    file = EMBEDDINGS.write(job, found, description(job.recipe).dimension)
    return Done([file, *bucket.write_dead(job, EMBEDDINGS, dead)], counts)


def _labels(job: Job) -> dict[str, Labels] | None:
    """Labels by clip where the embedder reads them."""
    if not description(job.recipe).reads_labels:
        return None
    return {row.clip_key: row.labels for row in annotations_in_force(job)}


def _laid_over(job: Job) -> Any:
    """What a fingerprint says of corrections and calibration where the embedder reads labels."""
    return laid_over(job) if description(job.recipe).reads_labels else None


def _finite(key: str, made: EmbeddedClip) -> ClipEmbedding:
    if not np.isfinite(made.vector).all():
        raise PipelineError(
            f"the embedder gave clip {key} a vector that is not finite; "
            "it cannot be used with this device or these weights"
        )
    return ClipEmbedding(key, made.vector, made.fingerprint)


def tools(recipe: Recipe) -> dict[str, str]:
    """The embedder's weights, and what decodes."""
    return {**embedder_tools(recipe), **decode.tools()}


STAGE: Final = Stage(
    name="embed_audio",
    version=1,
    reads=(CLIPS,),
    optional_reads=lambda recipe: (ANNOTATIONS,) if description(recipe).reads_labels else (),
    writes=(EMBEDDINGS,),
    knobs=("label.embedder", "label.model", "label.device", "label.batch"),
    run=embed_bucket,
    extra_fingerprint=_laid_over,
    tools=tools,
    enabled=lambda recipe: recipe.embeds,
)
