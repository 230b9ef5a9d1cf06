"""Stage *filter*: named rules decide which clips are varied, which are kept as they are, and which
are rejected.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pipelines.build.corrections import annotations_in_force, corrections_of, laid_over
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS, NEAR_DUPLICATES, VERDICTS
from pipelines.engine import bucket
from pipelines.engine.stage import Stage
from schemas.corpus import Clip, Verdict
from schemas.identity import Bucket, Split
from schemas.labels import Annotation, Correction
from schemas.pseudo_label import NearDuplicate
from schemas.recipe import FilterAction, FilterRecipe


class JudgedClip(NamedTuple):
    """What rules judge by: a clip, what was measured on it, the same recording in validation or
    test, where it is in train, and what somebody set right, if anybody did.
    """

    clip: Clip
    annotation: Annotation
    held_out: NearDuplicate | None = None
    correction: Correction | None = None


class Rule(NamedTuple):
    """A rule by name: what it does to a clip that breaks it, and the figure that broke it ("" where
    none did).
    """

    name: str
    action: Callable[[FilterRecipe], FilterAction]
    broken: Callable[[JudgedClip, FilterRecipe], str]


def _words(known: JudgedClip, recipe: FilterRecipe) -> str:
    pattern = "|".join(re.escape(word) for word in recipe.words)
    found = (
        next(
            filter(
                None,
                (
                    re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE)
                    for text in known.clip.captions
                ),
            ),
            None,
        )
        if pattern
        else None
    )
    return found[0].lower() if found else ""


def _silent(known: JudgedClip, recipe: FilterRecipe) -> str:
    share = known.annotation.measures.silent_share
    return (
        f"{share:.3f} silent, limit {recipe.silent_share:g}" if share > recipe.silent_share else ""
    )


def _clipped(known: JudgedClip, recipe: FilterRecipe) -> str:
    share = known.annotation.measures.clipped_share
    return (
        f"{share:.4f} clipped, limit {recipe.clipped_share:g}"
        if share > recipe.clipped_share
        else ""
    )


def _short(known: JudgedClip, recipe: FilterRecipe) -> str:
    length_s = known.clip.length_s
    return f"{length_s:.2f} s, limit {recipe.short_s:g} s" if length_s < recipe.short_s else ""


def _unsure(known: JudgedClip, recipe: FilterRecipe) -> str:
    labels = known.annotation.labels
    best = max(labels.beats.confidence, labels.chords.confidence, labels.key.confidence)
    return (
        f"confidence {best:.2f}, limit {recipe.min_confidence:g}"
        if best < recipe.min_confidence
        else ""
    )


def _held_out(known: JudgedClip, _: FilterRecipe) -> str:
    copy = known.held_out
    return (
        f"{copy.agreement:.2f} of the fingerprint is {copy.twin}'s, in {copy.twin_split}"
        if copy
        else ""
    )


def _not_music(known: JudgedClip, _: FilterRecipe) -> str:
    said = known.correction
    if said is None or said.not_music is None:
        return ""
    return f"{said.not_music or 'no reason given'}, says {said.who}, {said.when}"


RULES: Final = (  # in this order; a rule that rejects goes before one that keeps the original
    Rule("not_music", lambda _: FilterAction.REJECT, _not_music),
    Rule("silence", lambda recipe: recipe.silent_action, _silent),
    Rule("near_duplicate", lambda recipe: recipe.near_duplicate_action, _held_out),
    Rule("caption_words", lambda recipe: recipe.words_action, _words),
    Rule("clipping", lambda recipe: recipe.clipped_action, _clipped),
    Rule("short", lambda recipe: recipe.short_action, _short),
    Rule("low_confidence", lambda recipe: recipe.confidence_action, _unsure),
)


def verdict(known: JudgedClip, recipe: FilterRecipe) -> Verdict:
    """The heaviest consequence of the rules that a clip breaks."""
    clip = known.clip
    broken = [(rule.action(recipe), rule.name, rule.broken(known, recipe)) for rule in RULES]
    for action in (FilterAction.REJECT, FilterAction.KEEP_ORIGINAL):
        for what, name, figure in broken:
            if figure and what is action:
                return Verdict(
                    clip_key=clip.clip_key,
                    keep=action is FilterAction.KEEP_ORIGINAL,
                    vary=False,
                    rule=name,
                    figure=figure,
                )
    return Verdict(clip_key=clip.clip_key, keep=True, vary=True)


def filter_bucket(job: Job) -> Done:
    """A verdict on every annotated clip of a bucket."""
    held_out, corrections = _held_out_copies(job), corrections_of(job)
    annotations = {row.clip_key: row for row in annotations_in_force(job, corrections)}
    known = (
        JudgedClip(
            clip,
            annotations[clip.clip_key],
            held_out.get(clip.clip_key),
            corrections.get(clip.clip_key),
        )
        for clip in CLIPS.read(job)
        if clip.clip_key in annotations
    )
    verdicts = [verdict(one, job.recipe.filter) for one in known]
    bucket.progress(len(verdicts))
    rejected = sum(not row.keep for row in verdicts)
    original_only = sum(row.keep and not row.vary for row in verdicts)
    counts = {"clips": len(verdicts), "rejected": rejected, "original_only": original_only}
    return Done([VERDICTS.write(job, verdicts)], counts)


def _held_out_copies(job: Job) -> dict[str, NearDuplicate]:
    """The first clip outside of train that each clip of a train bucket is a copy of."""
    if not job.recipe.finds_copies or Bucket.parse(job.bucket).split is not Split.TRAIN:
        return {}
    return {
        copy.clip_key: copy
        for copy in reversed(NEAR_DUPLICATES.read(job))
        if copy.twin_split is not Split.TRAIN
    }


STAGE: Final = Stage(
    name="filter",
    version=1,
    reads=(CLIPS, ANNOTATIONS),
    optional_reads=lambda recipe: (NEAR_DUPLICATES,) if recipe.finds_copies else (),
    writes=(VERDICTS,),
    knobs=("filter",),
    run=filter_bucket,
    extra_fingerprint=laid_over,
)
