"""Stage *filter*: named rules decide which clips are varied, which are kept as they are, and which are rejected."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pipelines import clips
from pipelines.stage import Done, Job, Stage
from schemas.corpus import Clip, Verdict
from schemas.labels import Annotation
from schemas.recipe import FilterAction, FilterRecipe


class Rule(NamedTuple):
    """A rule by name: what it does to a clip that breaks it, and the figure that broke it ("" where none did)."""

    name: str
    action: Callable[[FilterRecipe], FilterAction]
    broken: Callable[[Clip, Annotation, FilterRecipe], str]


def _words(clip: Clip, _: Annotation, recipe: FilterRecipe) -> str:
    pattern = "|".join(re.escape(word) for word in recipe.words)
    found = next(filter(None, (re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE) for text in clip.captions)), None) if pattern else None
    return found[0].lower() if found else ""


def _silent(_: Clip, annotation: Annotation, recipe: FilterRecipe) -> str:
    share = annotation.measures.silent_share
    return f"{share:.3f} silent, limit {recipe.silent_share:g}" if share > recipe.silent_share else ""


def _clipped(_: Clip, annotation: Annotation, recipe: FilterRecipe) -> str:
    share = annotation.measures.clipped_share
    return f"{share:.4f} clipped, limit {recipe.clipped_share:g}" if share > recipe.clipped_share else ""


def _short(clip: Clip, _: Annotation, recipe: FilterRecipe) -> str:
    return f"{clip.length_s:.2f} s, limit {recipe.short_s:g} s" if clip.length_s < recipe.short_s else ""


def _unsure(_: Clip, annotation: Annotation, recipe: FilterRecipe) -> str:
    labels = annotation.labels
    best = max(labels.beats.confidence, labels.chords.confidence, labels.key.confidence)
    return f"confidence {best:.2f}, limit {recipe.min_confidence:g}" if best < recipe.min_confidence else ""


RULES: Final = (  # in this order; a rule that rejects goes before one that keeps the original
    Rule("silence", lambda recipe: recipe.silent_action, _silent),
    Rule("caption_words", lambda recipe: recipe.words_action, _words),
    Rule("clipping", lambda recipe: recipe.clipped_action, _clipped),
    Rule("short", lambda recipe: recipe.short_action, _short),
    Rule("low_confidence", lambda recipe: recipe.confidence_action, _unsure),
)


def verdict(clip: Clip, annotation: Annotation, recipe: FilterRecipe) -> Verdict:
    """The heaviest consequence of the rules that a clip breaks."""
    broken = [(rule.action(recipe), rule.name, rule.broken(clip, annotation, recipe)) for rule in RULES]
    for action in (FilterAction.REJECT, FilterAction.KEEP_ORIGINAL):
        for what, name, figure in broken:
            if figure and what is action:
                return Verdict(clip_key=clip.clip_key, keep=action is FilterAction.KEEP_ORIGINAL, vary=False, rule=name, figure=figure)
    return Verdict(clip_key=clip.clip_key, keep=True, vary=True)


def filter_bucket(job: Job) -> Done:
    """A verdict on every annotated clip of a bucket."""
    annotations = {row.clip_key: row for row in job.store.read_records(f"annotations/{job.bucket}.parquet", Annotation)}
    verdicts = [verdict(clip, annotations[clip.clip_key], job.recipe.filter) for clip in clips.read(job) if clip.clip_key in annotations]
    clips.progress(len(verdicts))
    file = job.store.write_records(f"verdicts/{job.bucket}.parquet", Verdict, verdicts)
    counts = {
        "clips": len(verdicts),
        "rejected": sum(not row.keep for row in verdicts),
        "original_only": sum(row.keep and not row.vary for row in verdicts),
    }
    return Done([file], counts)


STAGE: Final = Stage("filter", "verdicts", 1, ("filter",), ("clips", "annotations"), filter_bucket)
