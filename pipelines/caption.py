"""Stage *caption*: source captions, prompts from metadata and control sentences of every sample, each with the facts it states."""

from collections import Counter
from typing import Final

from pipelines import clips
from pipelines.captioning.compose import compose_captions
from pipelines.captioning.metadata import Metadata, read_metadata
from pipelines.moving import variant_labels
from pipelines.stage import Done, Job, Stage
from schemas.corpus import Captioned, Varied
from schemas.identity import ClipKey
from schemas.labels import Annotation


def caption_bucket(job: Job) -> Done:
    """Captions of a bucket's samples, from the labels as they moved with the audio."""
    bucket_clips = {clip.clip_key: clip for clip in clips.read(job)}
    annotations = {row.clip_key: row.labels for row in job.store.read_records(f"annotations/{job.bucket}.parquet", Annotation)}
    rows: list[Captioned] = []
    counts: Counter[str] = Counter()
    metadata: dict[ClipKey, Metadata] = {}
    for sample in job.store.read_records(f"variants/{job.bucket}.parquet", Varied):
        clip = bucket_clips[sample.clip_key]
        labels = variant_labels(annotations[sample.clip_key], clip.length_s, sample.change, sample.duration_s)
        if sample.clip_key not in metadata:
            metadata[sample.clip_key] = read_metadata(clip.source, job.recipe.caption)
            counts.update(dict(metadata[sample.clip_key].counts))
        composed = compose_captions(
            clip.captions,
            labels,
            sample.change,
            job.recipe.caption,
            job.recipe.corpus.seed,
            sample.sample_key,
            metadata[sample.clip_key],
        )
        rows.append(Captioned(sample_key=sample.sample_key, captions=composed.captions))
        counts.update(composed.counts)
        counts["uncaptioned"] += not composed.captions
        clips.progress(sample.change.variant == "orig")
    file = job.store.write_records(f"captions/{job.bucket}.parquet", Captioned, rows)
    return Done([file], {"samples": len(rows), **{name: count for name, count in sorted(counts.items()) if count}})


STAGE: Final = Stage("caption", "captions", 2, ("caption",), ("clips", "annotations", "variants"), caption_bucket)
