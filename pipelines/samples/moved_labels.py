"""Samples of a bucket with the labels of their own audio."""

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.engine import bucket
from pipelines.engine.stage import Job
from pipelines.labels.transform import variant_labels
from schemas.corpus import Clip, Varied
from schemas.labels import Annotation, Labels


class LabelledSample(NamedTuple):
    """A sample, the clip it was made from, and its own labels: the clip's, moved with the audio."""

    varied: Varied
    clip: Clip
    labels: Labels


def labelled_samples(job: Job) -> Iterator[LabelledSample]:
    """A bucket's samples in the order in which they were made."""
    bucket_clips = {clip.clip_key: clip for clip in bucket.read(job)}
    annotations = {
        row.clip_key: row.labels
        for row in job.store.read_records(f"annotations/{job.bucket}.parquet", Annotation)
    }
    for varied in job.store.read_records(f"variants/{job.bucket}.parquet", Varied):
        clip = bucket_clips[varied.clip_key]
        yield LabelledSample(
            varied,
            clip,
            variant_labels(
                annotations[varied.clip_key], clip.length_s, varied.change, varied.duration_s
            ),
        )
