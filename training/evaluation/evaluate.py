"""Clips that a system made, scored: what our annotators estimate, against what was requested."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.annotators.windows import tools as annotator_tools
from pipelines.embedders import Vectors
from schemas.recipe import Recipe
from training.evaluation.beside_asked import asked_timeline, swapped_pairs, timeline_pairs
from training.evaluation.clips import MadeClip, ScoredListing
from training.evaluation.estimated import EstimatedClip, estimate
from training.evaluation.judges.hearing import check_judges
from training.evaluation.judges.judge_report import by_judges, judge_reports, judged_clips
from training.evaluation.reference import Reference
from training.evaluation.report import (
    ClipReport,
    Counts,
    EvaluationReport,
    SpaceFigures,
    UnscoredClip,
)
from training.evaluation.scorers.opened import NO_SCORERS, Scorers
from training.evaluation.sound_report import sound_report
from training.evaluation.spaces import Sounding, embedder_of, sound_vectors, text_vectors
from training.metrics.controls import estimated_controls
from training.metrics.frechet import frechet_distance
from training.metrics.frechet_infinity import beside_zero
from training.metrics.outcomes import Metric, Variant, scores
from training.metrics.summary import Figure, Kind, Pair, control_figures, figure
from training.metrics.swap import SwapReport, swap_report
from training.metrics.tagging import (
    CLASSES,
    Classifier,
    concept_coverage,
    cosines,
    kl_divergence,
    mean_distribution,
    named_concepts,
    pair_divergences,
    zero_shot,
)
from training.metrics.timeline_figures import (
    HeardTimeline,
    TimelineMetric,
    timeline_figures,
    timeline_scores,
)

_LEAST_CLIPS: Final = 2  # what a covariance needs


class Evaluated(NamedTuple):
    """A report, and the clips it is of, in the same order."""

    report: EvaluationReport
    estimated: tuple[EstimatedClip, ...]


def evaluate(
    listing: ScoredListing,
    recipe: Recipe,
    *,
    reference: Reference | None = None,
    classifier: Classifier | None = None,
    scorers: Scorers = NO_SCORERS,
    judges: Sequence[str] = (),
    seed: int = 0,
    watch: Callable[[int], None] = lambda _: None,
) -> Evaluated:
    """Annotate clips and score them; `watch` is called with the number done.

    A clip that is a swap of another serves the swap test alone: beside its original it is not
    another clip, and their intervals, the chance of hitting by luck and distances of sets would
    take it for one. The recipe names annotators and embedder. `classifier` reads the embedder's
    vectors; by default it names instruments, voices and genres by their texts' likeness. `scorers`
    are those that the reference was read with. `judges` name annotators of another make, which
    label the clips once more. Draws of intervals depend on the seed alone.
    """
    # first: a missing embedder is reported before hours of annotation
    described = embedder_of(recipe)
    check_judges(judges)
    estimated, problems = _estimated(listing.made, recipe, watch)
    pairs = [
        Pair(one.made.requested, estimated_controls(one.labels)) for one in estimated if one.labels
    ]
    counted = [pair for one, pair in zip(estimated, pairs, strict=True) if not one.made.swap_of]
    space = _EmbedderView.of(estimated, recipe)
    witnesses = by_judges(estimated, judges, recipe)
    judged = judged_clips(witnesses, len(estimated))
    clips = tuple(
        _clip(one, pair, embedded.cosine).replaced(judged=heard)
        for one, pair, embedded, heard in zip(estimated, pairs, space.rows, judged, strict=True)
    )
    without_prompt = sum(not one.made.caption for one in estimated)
    skipped = [UnscoredClip(name=one.name, reason=one.reason) for one in listing.skipped]
    report = EvaluationReport(
        system=listing.system,
        checkpoint=listing.checkpoint,
        reference=reference.name if reference else "",
        reference_split=reference.split if reference else "",
        seed=seed,
        counts=Counts(
            given=len(listing.made) + len(listing.skipped),
            scored=len(estimated),
            dead=len(problems),
            skipped=len(listing.skipped),
            without_prompt=without_prompt,
            swaps=len(estimated) - len(counted),
        ),
        figures=control_figures(counted, seed=seed),
        published=control_figures(counted, Variant.PUBLISHED, seed=seed),
        timeline=timeline_figures(timeline_pairs(estimated), seed=seed),
        space=space.counted().figures(recipe, reference, classifier, seed),
        swaps=_swaps(clips, seed),
        sound=sound_report(estimated, reference, scorers, recipe, seed=seed),
        judges=judge_reports(witnesses, estimated, seed=seed),
        clips=clips,
        problems=(*skipped, *problems),
        tools={**annotator_tools(recipe), described.name: described.version},
    )
    return Evaluated(report, tuple(estimated))


def _estimated(
    made: Sequence[MadeClip], recipe: Recipe, watch: Callable[[int], None]
) -> tuple[list[EstimatedClip], list[UnscoredClip]]:
    estimated: list[EstimatedClip] = []
    problems: list[UnscoredClip] = []
    for number, one in enumerate(estimate(made, recipe), start=1):
        if one.labels:
            estimated.append(one)
        else:
            problems.append(UnscoredClip(name=one.made.name, reason=one.problem))
        watch(number)
    return estimated, problems


def _clip(one: EstimatedClip, pair: Pair, cosine: float | None) -> ClipReport:
    assert one.labels is not None  # `_estimated` keeps those alone
    corrected, published = (scores(pair.requested, pair.estimated, variant) for variant in Variant)
    return ClipReport(
        name=one.made.name,
        swap_of=one.made.swap_of,
        caption=one.made.caption,
        asked=pair.requested,
        timing=one.made.timing,
        heard=pair.estimated,
        labels=one.labels,
        scores=_rounded(corrected),
        published=_rounded(published),
        curves=one.made.curves,
        controls=one.controls,
        steered=one.made.steered,
        view=one.view,
        timeline=_rounded(
            timeline_scores(asked_timeline(one.made), HeardTimeline(one.labels, one.controls))
        ),
        cosine=None if cosine is None else round(cosine, 4),
    )


def _rounded(figures: Mapping[Metric, float] | Mapping[TimelineMetric, float]) -> dict[str, float]:
    return {metric: round(value, 4) for metric, value in figures.items()}


def _swaps(clips: Sequence[ClipReport], seed: int) -> SwapReport | None:
    """The swap test of pairs in which one clip names the other."""
    pairs = list(swapped_pairs(clips).values())
    return swap_report(pairs, seed=seed) if pairs else None


class _ClipVector(NamedTuple):
    """A clip in the embedder's space, and the cosine with its prompt if it has one."""

    made: MadeClip
    vector: Vectors | None
    cosine: float | None


class _EmbedderView(NamedTuple):
    """The embedder's view of clips and prompts."""

    rows: tuple[_ClipVector, ...]

    @classmethod
    def of(cls, estimated: Sequence[EstimatedClip], recipe: Recipe) -> "_EmbedderView":
        """Clips in their order."""
        sounds = [
            Sounding(one.made.path, one.labels.duration_s, one.labels)
            for one in estimated
            if one.labels
        ]
        captions = sorted({one.made.caption for one in estimated if one.made.caption})
        texts = dict(zip(captions, text_vectors(captions, recipe), strict=True))
        rows = []
        for one, vector in zip(estimated, sound_vectors(sounds, recipe), strict=True):
            text = texts.get(one.made.caption)
            rows.append(
                _ClipVector(
                    one.made,
                    vector,
                    None if text is None or vector is None else cosines([text], [vector])[0],
                )
            )
        return cls(tuple(rows))

    def counted(self) -> "_EmbedderView":
        """Those clips that are not a swap of another."""
        return _EmbedderView(tuple(one for one in self.rows if not one.made.swap_of))

    def figures(
        self, recipe: Recipe, reference: Reference | None, classifier: Classifier | None, seed: int
    ) -> SpaceFigures:
        """Distances of the clips from their prompts and from reference music."""
        known = [one.cosine for one in self.rows if one.cosine is not None]
        described = embedder_of(recipe)
        found = SpaceFigures(
            embedder=described.name,
            version=described.version,
            licence=described.licence,
            reads_labels=described.reads_labels,
            dimension=described.dimension,
            window_s=described.window_s,
            prompt_cosine=figure(
                "cosine", "of prompt and clip", known, Kind.MEAN, key="cosine", seed=seed
            )
            if known
            else None,
            concept_coverage=None if described.reads_labels else self._coverage(recipe, seed),
        )
        usable = [one.vector for one in self.rows if one.vector is not None]
        if reference is None or min(len(usable), len(reference.keys)) < _LEAST_CLIPS:
            return found
        made, beside = np.stack(usable), reference.vectors_ND
        classify = classifier or _named_classes(recipe)
        pairs, equal = self._pairs(reference), beside_zero(beside, made, seed=seed)
        apart: list[float] = []
        if pairs:
            rows, vectors = zip(*pairs, strict=True)
            apart = pair_divergences(classify(beside[list(rows)]), classify(np.stack(vectors)))
        return found.replaced(
            frechet=round(frechet_distance(beside, made), 6),
            frechet_clips=len(usable),
            reference_clips=len(reference.keys),
            frechet_infinity=equal.apart if equal else None,
            frechet_zero=equal.zero if equal else None,
            classes=classify(made).shape[1],
            kl_sets=round(
                kl_divergence(
                    mean_distribution(classify(beside)), mean_distribution(classify(made))
                ),
                6,
            ),
            kl_pairs=figure("KL", "of classes, pair by pair", apart, Kind.MEAN, key="kl", seed=seed)
            if apart
            else None,
        )

    def _coverage(self, recipe: Recipe, seed: int) -> Figure | None:
        """How many of the instruments and genres that prompts name are heard in their clips."""
        asked = [
            (named, one.vector)
            for one in self.rows
            if one.vector is not None and (named := named_concepts(one.made.caption))
        ]
        if not asked:
            return None
        found = [one for one in text_vectors(CLASSES, recipe) if one is not None]
        if len(found) < len(CLASSES):
            return None
        names = np.stack(found)
        shares = [concept_coverage(names @ vector, named) for named, vector in asked]
        meaning = "instruments and genres that a prompt names, among the five nearest of 33 names"
        return figure("CC", meaning, shares, Kind.MEAN, key="concepts", seed=seed)

    def _pairs(self, reference: Reference) -> list[tuple[int, Vectors]]:
        """Rows of the reference, each with the vector of the clip that was made for its caption."""
        rows = [
            (reference.row_of(one.made.reference, one.made.caption), one.vector)
            for one in self.rows
        ]
        return [(row, vector) for row, vector in rows if row is not None and vector is not None]


def _named_classes(recipe: Recipe) -> Classifier:
    found = [vector for vector in text_vectors(CLASSES, recipe) if vector is not None]
    return zero_shot(np.stack(found))
