"""Stage *caption*: source captions, prompts from metadata and control sentences of every sample,
each with the facts it states.
"""

from collections import Counter
from typing import Final

from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CAPTIONS, CLIPS, MOVED_LABELS, VARIANTS
from pipelines.captioning.compose import compose_captions
from pipelines.captioning.metadata import Metadata, read_metadata, together
from pipelines.captioning.two_sources import joined_sources
from pipelines.engine import bucket
from pipelines.engine.stage import Stage
from pipelines.samples.moved_labels import labelled_samples, reads_mixes
from schemas.corpus import SampleCaptions
from schemas.counts import CaptionCount, CaptionCounts
from schemas.identity import ClipKey


def caption_bucket(job: Job) -> Done:
    """Captions of a bucket's samples, from the labels as they moved with the audio."""
    rows: list[SampleCaptions] = []
    counts: Counter[CaptionCount] = Counter()
    metadata: dict[ClipKey, Metadata] = {}
    for sample, clip, labels, guest in labelled_samples(job):
        if clip.clip_key not in metadata:
            metadata[clip.clip_key] = read_metadata(clip.source, job.recipe.caption)
            counts.update(dict(metadata[clip.clip_key].counts))
        sources, named = clip.captions, metadata[clip.clip_key]
        if guest is not None:
            sources = joined_sources(
                clip.captions, guest.clip.captions, guest.fitted, labels, job.recipe.caption
            )
            named = together(named, read_metadata(guest.clip.source, job.recipe.caption))
        composed = compose_captions(
            sources,
            labels,
            sample.change,
            job.recipe.caption,
            job.recipe.corpus.seed,
            sample.sample_key,
            named,
        )
        rows.append(SampleCaptions(sample_key=sample.sample_key, captions=composed.captions))
        counts.update(composed.counts)
        bucket.progress(sample.change.variant == "orig")
    uncaptioned = sum(not row.captions for row in rows)
    return Done(
        [CAPTIONS.write(job, rows)],
        CaptionCounts.of(counts, samples=len(rows), uncaptioned=uncaptioned).plain(),
    )


STAGE: Final = Stage(
    name="caption",
    version=3,
    reads=(CLIPS, MOVED_LABELS, VARIANTS),
    optional_reads=reads_mixes,
    writes=(CAPTIONS,),
    knobs=("caption",),
    run=caption_bucket,
)
