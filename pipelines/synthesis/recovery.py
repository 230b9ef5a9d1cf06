"""How well a build's labels recover the exact truth of the pieces it was built from."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS
from pipelines.labels.agreement import agreement
from pipelines.labels.transform import clip_labels, excerpt
from schemas.agreement import LabelAgreement
from schemas.corpus import Clip
from schemas.labels import Labels


def recovered(jobs: Sequence[Job]) -> list[LabelAgreement]:
    """Agreement of every clip's extracted labels with its piece's truth, cut to the clip."""
    rows: list[LabelAgreement] = []
    for job in jobs:
        labels = {row.clip_key: row.labels for row in ANNOTATIONS.read(job)}
        rows += [
            agreement(clip_truth(clip), clip_labels(labels[clip.clip_key], clip.length_s))
            for clip in CLIPS.read(job)
            if clip.clip_key in labels
        ]
    return rows


def clip_truth(clip: Clip) -> Labels:
    """Truth of a clip of a composed piece, from the file beside the audio."""
    whole = Labels.model_validate_json(Path(clip.source.uri).with_suffix(".truth.json").read_text())
    return excerpt(whole, clip.start_s, clip.end_s)
