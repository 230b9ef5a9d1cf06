"""Samples of a bucket: which ones are planned, and the labels of their own audio."""

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.build.outputs import Job, Output
from pipelines.build.tables import CLIPS, MIXES, MOVED_LABELS, VARIANTS
from schemas.corpus import Augmented, Clip, Guest, Mixed
from schemas.identity import Split
from schemas.labels import Labels
from schemas.recipe import Recipe, VaryRecipe


def planned_variants(clip: Clip, recipe: VaryRecipe) -> tuple[str, ...]:
    """Names of a clip's variants: the original, and in train (or by recipe) the varied copies."""
    if clip.split is not Split.TRAIN and not recipe.all_splits:
        return ("orig",)
    return ("orig", *varied(recipe))


def planned_mixes(clip: Clip, recipe: Recipe) -> tuple[str, ...]:
    """Names of a clip's mixes: in train (or by recipe), as many as the recipe asks for."""
    if clip.split is not Split.TRAIN and not recipe.vary.all_splits:
        return ()
    return tuple(f"m{number + 1}" for number in range(recipe.mix.mixes))


def planned_samples(clip: Clip, recipe: Recipe) -> tuple[str, ...]:
    """Names of all of a clip's samples."""
    return (*planned_variants(clip, recipe.vary), *planned_mixes(clip, recipe))


def varied(recipe: VaryRecipe) -> tuple[str, ...]:
    """Names of the varied copies: pitch down and up, speeds, volumes.

    >>> varied(VaryRecipe(semitones=(-1, 2), speeds=1, volumes=1))
    ('pd1', 'pu2', 's1', 'v1')
    """
    pitch = (f"p{'u' if step > 0 else 'd'}{abs(step)}" for step in recipe.semitones if step)
    speeds = (f"s{index + 1}" for index in range(recipe.speeds))
    volumes = (f"v{index + 1}" for index in range(recipe.volumes))
    return (*pitch, *speeds, *volumes)


class FittedGuest(NamedTuple):
    """What sounds with a mix's host: what was done to it, and the clip that it was."""

    fitted: Guest
    clip: Clip


class LabelledSample(NamedTuple):
    """A sample, the clip it was made from, its own labels (the clip's, moved with the audio), and
    in a mix what sounds with that clip.
    """

    varied: Augmented
    clip: Clip
    labels: Labels
    guest: FittedGuest | None = None


def sounds(job: Job) -> list[Augmented]:
    """All samples of a bucket as sound: what `vary` made, and then what `mix` did."""
    return [*VARIANTS.read(job), *(MIXES.read(job) if job.recipe.mixes else ())]


def reads_mixes(recipe: Recipe) -> tuple[Output, ...]:
    """What a step that takes `sounds` reads beside the variants."""
    return (MIXES,) if recipe.mixes else ()


def labelled_samples(job: Job) -> Iterator[LabelledSample]:
    """A bucket's samples in the order in which they were made."""
    bucket_clips = {clip.clip_key: clip for clip in CLIPS.read(job)}
    moved = {row.sample_key: row.labels for row in MOVED_LABELS.read(job)}
    for varied in sounds(job):
        guest = None
        if isinstance(varied, Mixed):
            guest = FittedGuest(varied.guest, bucket_clips[varied.guest.clip_key])
        clip, labels = bucket_clips[varied.clip_key], moved[varied.sample_key]
        yield LabelledSample(varied, clip, labels, guest)
