"""Samples of a bucket: which ones are planned, and the labels of their own audio."""

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, MOVED_LABELS, VARIANTS
from schemas.corpus import Augmented, Clip
from schemas.identity import Split
from schemas.labels import Labels
from schemas.recipe import VaryRecipe


def planned_variants(clip: Clip, recipe: VaryRecipe) -> tuple[str, ...]:
    """Names of a clip's samples: the original, and in train (or by recipe) the varied copies."""
    if clip.split is not Split.TRAIN and not recipe.all_splits:
        return ("orig",)
    return ("orig", *varied(recipe))


def varied(recipe: VaryRecipe) -> tuple[str, ...]:
    """Names of the varied copies: pitch down and up, speeds, volumes.

    >>> varied(VaryRecipe(semitones=(-1, 2), speeds=1, volumes=1))
    ('pd1', 'pu2', 's1', 'v1')
    """
    pitch = (f"p{'u' if step > 0 else 'd'}{abs(step)}" for step in recipe.semitones if step)
    speeds = (f"s{index + 1}" for index in range(recipe.speeds))
    volumes = (f"v{index + 1}" for index in range(recipe.volumes))
    return (*pitch, *speeds, *volumes)


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
