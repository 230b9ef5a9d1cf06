"""Stage *caption*: source captions, prompts from metadata and control sentences of every sample,
each with the facts it states.
"""

from collections import Counter
from typing import Final

from pipelines.captioning.compose import compose_captions
from pipelines.captioning.metadata import Metadata, read_metadata
from pipelines.engine import bucket
from pipelines.engine.stage import Done, Job, Stage
from pipelines.samples.moved_labels import labelled_samples
from schemas.corpus import Captioned
from schemas.counts import CaptionCount, CaptionCounts
from schemas.identity import ClipKey


def caption_bucket(job: Job) -> Done:
    """Captions of a bucket's samples, from the labels as they moved with the audio."""
    rows: list[Captioned] = []
    counts: Counter[CaptionCount] = Counter()
    metadata: dict[ClipKey, Metadata] = {}
    for sample, clip, labels in labelled_samples(job):
        if clip.clip_key not in metadata:
            metadata[clip.clip_key] = read_metadata(clip.source, job.recipe.caption)
            counts.update(dict(metadata[clip.clip_key].counts))
        composed = compose_captions(
            clip.captions,
            labels,
            sample.change,
            job.recipe.caption,
            job.recipe.corpus.seed,
            sample.sample_key,
            metadata[clip.clip_key],
        )
        rows.append(Captioned(sample_key=sample.sample_key, captions=composed.captions))
        counts.update(composed.counts)
        bucket.progress(sample.change.variant == "orig")
    file = job.store.write_records(f"captions/{job.bucket}.parquet", Captioned, rows)
    uncaptioned = sum(not row.captions for row in rows)
    return Done(
        [file], CaptionCounts.of(counts, samples=len(rows), uncaptioned=uncaptioned).plain()
    )


STAGE: Final = Stage(
    "caption", "captions", 3, ("caption",), ("clips", "annotations", "variants"), caption_bucket
)
