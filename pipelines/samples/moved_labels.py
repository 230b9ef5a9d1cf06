"""Samples of a bucket with the labels of their own audio."""

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.build.job import Job
from pipelines.build.tables import CLIPS, MOVED_LABELS, VARIANTS
from schemas.corpus import Augmented, Clip
from schemas.labels import Labels


class LabelledSample(NamedTuple):
    """A sample, the clip it was made from, and its own labels: the clip's, moved with the audio."""

    varied: Augmented
    clip: Clip
    labels: Labels


def labelled_samples(job: Job) -> Iterator[LabelledSample]:
    """A bucket's samples in the order in which they were made."""
    bucket_clips = {clip.clip_key: clip for clip in CLIPS.read(job)}
    moved = {row.sample_key: row.labels for row in MOVED_LABELS.read(job)}
    for varied in VARIANTS.read(job):
        yield LabelledSample(varied, bucket_clips[varied.clip_key], moved[varied.sample_key])
