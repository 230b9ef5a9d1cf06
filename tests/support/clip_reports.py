"""Reports on clips whose labels a test states."""

from collections.abc import Sequence

from schemas.labels import Labels
from training.evaluation.beside_asked import swapped_pairs
from training.evaluation.report import ClipReport, Counts, EvaluationReport, SpaceFigures
from training.metrics.controls import PromptControls, estimated_controls
from training.metrics.outcomes import scores
from training.metrics.summary import Pair, control_figures
from training.metrics.swap import swap_report
from training.metrics.timeline_figures import (
    AskedTimeline,
    HeardTimeline,
    timeline_figures,
    timeline_scores,
)
from training.metrics.timing import Timing


def clip_report(
    name: str,
    asked: PromptControls,
    timing: Timing,
    labels: Labels,
    *,
    swap_of: str = "",
    caption: str = "",
) -> ClipReport:
    """A clip in which these labels were heard."""
    heard = estimated_controls(labels)
    timeline = timeline_scores(AskedTimeline(timing, asked.bpm), HeardTimeline(labels))
    return ClipReport(
        name=name,
        swap_of=swap_of,
        caption=caption or f"Prompt of {name}.",
        asked=asked,
        timing=timing,
        heard=heard,
        labels=labels,
        scores={str(metric): value for metric, value in scores(asked, heard).items()},
        published={},
        timeline={str(metric): value for metric, value in timeline.items()},
    )


def report_of(clips: Sequence[ClipReport], system: str = "ours") -> EvaluationReport:
    """The report that an evaluation would write of them, without an embedder."""
    counted = [clip for clip in clips if not clip.swap_of]
    return EvaluationReport(
        system=system,
        seed=0,
        counts=Counts(
            given=len(clips),
            scored=len(clips),
            dead=0,
            skipped=0,
            without_prompt=0,
            swaps=len(clips) - len(counted),
        ),
        figures=control_figures([Pair(clip.asked, clip.heard) for clip in counted]),
        published=(),
        timeline=timeline_figures(
            [
                (AskedTimeline(clip.timing, clip.asked.bpm), HeardTimeline(clip.labels))
                for clip in counted
            ]
        ),
        space=SpaceFigures(embedder="none", version="1", licence="CC0-1.0"),
        swaps=swap_report(list(swapped_pairs(clips).values())),
        clips=tuple(clips),
        problems=(),
        tools={},
    )
