"""Stage *move_labels*: each sample's own labels, the clip's as they moved with the audio.

A step of its own, so that another annotator makes no sound stale: `vary` reads no label.
"""

from typing import Final

from pipelines.build.corrections import annotations_in_force, laid_over
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS, MIXES, MOVED_LABELS, VARIANTS
from pipelines.engine import bucket
from pipelines.engine.stage import Stage
from pipelines.labels.transform import variant_labels
from pipelines.samples.moved_labels import reads_mixes
from schemas.labels import MovedLabels


def move_bucket(job: Job) -> Done:
    """Move the labels of a bucket's clips to each of their samples."""
    bucket_clips = {clip.clip_key: clip for clip in CLIPS.read(job)}
    labels = {row.clip_key: row.labels for row in annotations_in_force(job)}
    rows: list[MovedLabels] = []
    for varied in VARIANTS.read(job):
        length_s = bucket_clips[varied.clip_key].length_s
        moved = variant_labels(labels[varied.clip_key], length_s, varied.change, varied.duration_s)
        rows.append(MovedLabels(sample_key=varied.sample_key, labels=moved))
    if job.recipe.mixes:  # of two clips: the step that put them together knows theirs
        rows += [
            MovedLabels(sample_key=row.sample_key, labels=row.labels) for row in MIXES.read(job)
        ]
    bucket.progress(len(bucket_clips))
    return Done([MOVED_LABELS.write(job, rows)], {"samples": len(rows)})


STAGE: Final = Stage(
    name="move_labels",
    version=1,
    reads=(CLIPS, ANNOTATIONS, VARIANTS),
    optional_reads=reads_mixes,
    writes=(MOVED_LABELS,),
    run=move_bucket,
    extra_fingerprint=laid_over,
)
