"""Tables of an evaluation's figures, each with its interval in figures and drawn."""

from collections.abc import Iterator
from html import escape

from flows.screens.evaluation_cells import (
    ceiling_cells,
    ceiling_heads,
    counted,
    infinity_missing,
    interval,
    interval_cells,
    optional,
    percent,
)
from flows.screens.evaluation_timeline import ceilings_note
from training.evaluation.report import EvaluationReport
from training.metrics.summary import Figure
from training.metrics.tagging import CONCEPTS_BY_CHANCE

_PUBLISHED = (
    (
        "a clip in which no key is heard is left out of CK, CKD, all chord metrics and BM, "
        "and one without a tempo out of TB and TBT; "
        "here a label that the annotators leave empty is a miss"
    ),
    "CKD takes the relative key in the wrong direction: E♭ minor, not A minor, for C major",
    (
        "ECM counts asked chords from the first on and stops at the first "
        "that is missing; here it is the longest common subsequence"
    ),
    "CMOT puts diminished and augmented chords into one class; here each goes by its third",
    "extra chords cost nothing; here CP and CPT say how many of the chords heard were asked for",
)


def control_table(report: EvaluationReport) -> str:
    """Control metrics, as corrected and as the published code computes them."""
    if not report.figures:
        return (
            '<h2>Controls</h2><p class="facts">No prompt states a tempo, '
            "key, chords or a meter: there is nothing to follow.</p>"
        )
    published = {one.name: one for one in report.published}
    beside = report.ceilings is not None
    rows = "".join(_control_row(one, published.get(one.name), beside) for one in report.figures)
    head = (
        "<tr><th>metric</th><th></th><th class=number>%</th><th class=number>95 % interval</th>"
        f"<th>0 to 100 %</th><th class=number>chance</th>{ceiling_heads(beside)}"
        "<th class=number>clips</th>"
        "<th class=number>unheard</th><th class=number>as published</th></tr>"
    )
    notes = "".join(f"<li>{note}</li>" for note in _PUBLISHED)
    return (
        "<h2>Controls <small>of clips whose prompts state them</small></h2><div class=wide>"
        f'<table>{head}{rows}</table></div><p class="facts">Chance (the stroke in the drawing): '
        "the same clips against each other’s prompts. Unheard: clips in which the annotators "
        "are not sure enough to say anything; they count as misses."
        f"{ceilings_note(report.ceilings)}</p><details>"
        f"<summary>How the published code differs</summary><ul>{notes}</ul></details>"
    )


def _control_row(one: Figure, published: Figure | None, beside: bool) -> str:
    published_cell = (
        f"{percent(published.value)} <span class=soft>of {published.clips}</span>"
        if published
        else "–"
    )
    return (
        f"<tr><td class=name>{escape(one.name)}</td><td>{escape(one.meaning)}</td>"
        f"{interval_cells(one)}"
        f"<td class=number>{optional(one.chance)}</td>{ceiling_cells(one, beside)}"
        f"<td class=number>{one.clips}</td><td class=number>{one.unheard or '–'}</td>"
        f"<td class=number>{published_cell}</td></tr>"
    )


def space_table(report: EvaluationReport) -> str:
    """Distances in the embedder's space."""
    space = report.space
    rows = "".join(_space_rows(report))
    if not rows:
        return ""
    note = (
        '<p class="facts">This embedder reads labels, those of our annotators: what it finds alike '
        "repeats the control metrics, and is no ear of its own.</p>"
        if space.reads_labels
        else ""
    )
    return (
        f"<h2>Likeness <small>in the space of {escape(space.embedder)} "
        f"({escape(space.licence)}), {space.dimension} dimensions</small></h2>{note}"
        "<div class=wide><table><tr><th>figure</th><th></th><th class=number>value</th><th "
        "class=number>95 % interval</th><th>of</th></tr>"
        f"{rows}</table></div>"
    )


def _space_rows(report: EvaluationReport) -> Iterator[str]:
    space = report.space
    if space.prompt_cosine:
        yield _space_row(
            space.cosine_name,
            "mean over clips",
            space.prompt_cosine,
            counted(space.prompt_cosine.clips, "clip"),
        )
    if space.concept_coverage:
        yield _space_row(
            "concept coverage",
            f"{space.concept_coverage.meaning}; by chance {CONCEPTS_BY_CHANCE:.3f}. Of our making: "
            "the challenge's own has another judge",
            space.concept_coverage,
            counted(space.concept_coverage.clips, "clip"),
        )
    sets = f"{counted(space.frechet_clips, 'clip')}, {space.reference_clips} of reference"
    if space.frechet is not None:
        missing = infinity_missing(space)
        yield _space_row(
            f"Fréchet, n {space.frechet_clips} and {space.reference_clips}",
            "squared distance of the sets as Gaussians; smaller sets are farther apart"
            f"{'; ' if missing else ''}{missing}",
            space.frechet,
            sets,
        )
    yield from _equal_rows(report)
    if space.kl_sets is not None:
        yield _space_row(
            "KL of zero-shot names, sets",
            f"nats, of the mean over {space.classes} names, likened by their texts in this space; "
            "not a tagger’s classes",
            space.kl_sets,
            sets,
        )
    if space.kl_pairs:
        yield _space_row(
            "KL of zero-shot names, pairs",
            "nats, clips beside the samples of their captions",
            space.kl_pairs,
            counted(space.kl_pairs.clips, "pair"),
        )


def _equal_rows(report: EvaluationReport) -> Iterator[str]:
    """Distances of sets of equal size, each beside that of two halves of the reference."""
    apart, zero = report.space.frechet_infinity, report.space.frechet_zero
    if apart is None or zero is None:
        return
    few = (
        f"; n is below the {report.space.dimension} dimensions, so look at how far it is from its "
        "zero"
        if apart.most < report.space.dimension
        else ""
    )
    sides = f"{apart.most} a side"
    fit = f"{apart.least} to {apart.most} a side"
    half = "two halves of the reference: the zero of the row above"
    yield _space_row(f"Fréchet, n {apart.most}", "equally many", apart.distance, sides)
    yield _space_row("its zero", half, zero.distance, sides)
    fitted = f"where a line in 1/n ends, R² {apart.straightness:.2f}{few}"
    yield _space_row("FAD∞", fitted, apart.at_infinity, fit)
    yield _space_row("its zero", f"{half}, R² {zero.straightness:.2f}", zero.at_infinity, fit)


def _space_row(name: str, meaning: str, found: Figure | float, of: str) -> str:
    value, beside = (found, "–") if isinstance(found, float) else (found.value, interval(found))
    return (
        f"<tr><td class=name>{name}</td><td>{meaning}</td><td class=number>{value:.3f}</td>"
        f"<td class=number>{beside}</td><td>{of}</td></tr>"
    )
