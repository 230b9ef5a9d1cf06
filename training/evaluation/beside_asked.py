"""Clips beside what was asked of them, in the form that figures and swaps are made from."""

from collections.abc import Iterable, Sequence

from training.evaluation.clips import MadeClip
from training.evaluation.estimated import EstimatedClip
from training.evaluation.report import ClipReport
from training.metrics.swap import kind_of
from training.metrics.swap_judges import Swapped
from training.metrics.swap_kinds import SwapKind
from training.metrics.timeline_figures import AskedTimeline, HeardTimeline


def asked_timeline(made: MadeClip) -> AskedTimeline:
    """What a clip is held to."""
    return AskedTimeline(made.timing, made.requested.bpm, made.curves)


def timeline_pairs(
    estimated: Iterable[EstimatedClip],
) -> list[tuple[AskedTimeline, HeardTimeline]]:
    """Clips that are not a swap of another, each beside what it is held to."""
    return [
        (asked_timeline(one.made), HeardTimeline(one.labels, one.controls))
        for one in estimated
        if one.labels and not one.made.swap_of
    ]


def swapped_pair(original: ClipReport, swapped: ClipReport) -> Swapped:
    """A clip and the one that was made for its prompt with one control changed."""
    return Swapped(
        (original.asked, swapped.asked),
        (original.heard, swapped.heard),
        (original.timing, swapped.timing),
        (original.labels, swapped.labels),
    )


def swapped_pairs(clips: Sequence[ClipReport]) -> dict[str, Swapped]:
    """Pairs in which one clip names the other, by that one's name."""
    by_name = {clip.name: clip for clip in clips}
    return {
        clip.name: swapped_pair(by_name[clip.swap_of], clip)
        for clip in clips
        if clip.swap_of in by_name
    }


def pairs_by_kind(clips: Sequence[ClipReport]) -> dict[SwapKind, dict[str, Swapped]]:
    """The same by kind, without those that differ in no control or in several."""
    found: dict[SwapKind, dict[str, Swapped]] = {}
    for name, pair in swapped_pairs(clips).items():
        kind = kind_of(pair)
        if kind:
            found.setdefault(kind, {})[name] = pair
    return found
