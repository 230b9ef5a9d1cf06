"""What a judge's labels say of clips, by the same rules as ours say it.

Everything here takes any `Labels`, whoever made them.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from pipelines.annotators.windows import AnnotateWindow
from schemas.labels import Claim, Labels
from schemas.pitch import spell
from schemas.recipe import Recipe
from schemas.record import Record
from training.evaluation.estimated import EstimatedClip
from training.evaluation.judges.hearing import JudgeHearing, judged
from training.metrics.controls import Control, PromptControls, estimated_controls
from training.metrics.matching import by_third
from training.metrics.summary import Figure, Pair, control_figures
from training.metrics.swap import SwapReport, swap_report
from training.metrics.swap_judges import Swapped
from training.metrics.timeline_figures import (
    AskedTimeline,
    HeardTimeline,
    TimelineMetric,
    timeline_figures,
)
from training.metrics.timing import Timing

# of chords as major or minor triads nothing is known
_BEYOND_TRIADS: Final = (
    TimelineMetric.MAJMIN_INV,
    TimelineMetric.SEVENTHS,
    TimelineMetric.SEVENTHS_INV,
)


class JudgeReport(Record):
    """Figures of what a judge hears, beside those of what our annotators hear in the same clips, by
    the same rules: chords by root and major or minor, of the controls that the judge hears.
    """

    name: str
    tools: tuple[str, ...] = ()  # its labels' tools, versions and licences
    hears: tuple[Control, ...] = ()
    clips: int = 0  # that it heard, swaps left out
    figures: tuple[Figure, ...] = ()
    ours: tuple[Figure, ...] = ()
    swaps: SwapReport | None = None
    not_run: str = ""  # why, where it did not


class ClipBesideJudge(NamedTuple):
    """A clip: what was asked, our labels, and a judge's where it heard it."""

    name: str
    asked: PromptControls
    ours: Labels
    judged: Labels | None
    swap_of: str = ""
    timing: Timing = Timing()


def by_judges(
    estimated: Sequence[EstimatedClip], names: Sequence[str], recipe: Recipe
) -> list[JudgeHearing]:
    """What each judge hears of clips that our annotators have labelled."""
    windows = [
        AnnotateWindow(one.made.name, one.made.path, 0.0, one.labels.duration_s)
        for one in estimated
        if one.labels
    ]
    return [judged(windows, name, recipe) for name in dict.fromkeys(names)]


def judged_clips(found: Sequence[JudgeHearing], clips: int) -> list[dict[str, Labels]]:
    """Of each clip what judges heard of it, by their names."""
    by_clip: list[dict[str, Labels]] = [{} for _ in range(clips)]
    for judge in found:
        for heard, labels in zip(by_clip, judge.labels):  # of one that did not run there are none
            if labels is not None:
                heard[judge.name] = labels
    return by_clip


def judge_reports(
    found: Sequence[JudgeHearing], estimated: Sequence[EstimatedClip], *, seed: int
) -> tuple[JudgeReport, ...]:
    """Figures of each judge of the clips that it was given."""
    reports = []
    for judge in found:
        clips = [
            ClipBesideJudge(
                one.made.name,
                one.made.requested,
                one.labels,
                labels,
                one.made.swap_of,
                one.made.timing,
            )
            for one, labels in zip(estimated, judge.labels)
            if one.labels
        ]
        reports.append(judge_report(judge, clips, seed=seed))
    return tuple(reports)


def judge_report(
    found: JudgeHearing, clips: Sequence[ClipBesideJudge], *, seed: int
) -> JudgeReport:
    """A judge's figures. Draws of intervals depend on the seed alone."""
    known = {clip.name: clip for clip in clips if clip.judged is not None}
    heard = [clip.judged for clip in known.values() if clip.judged is not None]
    if found.not_run or not heard:
        return JudgeReport(
            name=found.name, not_run=found.not_run or "it can hear none of the clips"
        )
    hears = controls_heard(heard)
    counted = [clip for clip in known.values() if not clip.swap_of]
    theirs, ours = (
        [
            Pair(reduced(clip.asked, hears), reduced(estimated_controls(labels), hears))
            for clip, labels in side
        ]
        for side in (
            [(clip, clip.judged) for clip in counted if clip.judged is not None],
            [(clip, clip.ours) for clip in counted],
        )
    )
    return JudgeReport(
        name=found.name,
        tools=tuple(sorted(set(chain.from_iterable(map(tools_of, heard))))),
        hears=hears,
        clips=len(counted),
        figures=(
            *control_figures(theirs, seed=seed),
            *_timeline([(clip, clip.judged) for clip in counted if clip.judged], hears, seed),
        ),
        ours=(
            *control_figures(ours, seed=seed),
            *_timeline([(clip, clip.ours) for clip in counted], hears, seed),
        ),
        swaps=_swaps(known, hears, seed),
    )


def _timeline(
    clips: Sequence[tuple[ClipBesideJudge, Labels]], hears: Sequence[Control], seed: int
) -> tuple[Figure, ...]:
    """Figures against the asked timeline, of what a judge hears: none of bars where it hears no
    meter, none of what chords are beyond root and third.
    """
    pairs = [
        (
            AskedTimeline(_audible(clip.timing, hears), reduced(clip.asked, hears).bpm, None),
            HeardTimeline(labels, None),
        )
        for clip, labels in clips
    ]
    found = timeline_figures(pairs, seed=seed)
    return tuple(one for one in found if one.name not in _BEYOND_TRIADS)


def _audible(timing: Timing, hears: Sequence[Control]) -> Timing:
    """The asked timeline as far as a judge can hear it."""
    return timing.replaced(
        beats_s=timing.beats_s if Control.TEMPO in hears else (),
        downbeats_s=timing.downbeats_s if Control.METER in hears else (),
        chords=timing.chords if Control.CHORDS in hears else (),
    )


def controls_heard(labels: Sequence[Labels]) -> tuple[Control, ...]:
    """Controls that a judge hears in any of the clips: it is not blamed for what it never says."""
    found = [estimated_controls(one) for one in labels]
    return tuple(control for control in Control if any(one.has(control) for one in found))


def reduced(controls: PromptControls, hears: Sequence[Control]) -> PromptControls:
    """What both sides can say: the judge's controls, chords as major or minor triads, those without
    a third as they are.

    >>> waltz = PromptControls(bpm=90, meter=3, chords=("A:min7", "A:min", "D:7/3"))
    >>> reduced(waltz, (Control.CHORDS, Control.TEMPO)).chords
    ('A:min', 'D:maj')
    >>> reduced(waltz, (Control.CHORDS,)) == PromptControls(chords=("A:min", "D:maj"))
    True
    """
    has_tempo = Control.TEMPO in hears
    return PromptControls(
        bpm=controls.bpm if has_tempo else None,
        tempo_words=controls.tempo_words if has_tempo else (),
        key=controls.key if Control.KEY in hears else None,
        meter=controls.meter if Control.METER in hears else None,
        chords=tuple(map(_triad, controls.chords)) if Control.CHORDS in hears else (),
    )


def _triad(label: str) -> str:
    root, third = by_third(label)
    if third == "none":
        return label
    return f"{spell(root)}:{'min' if third == 'minor' else 'maj'}"


def tools_of(labels: Labels) -> list[str]:
    """What made labels, with version and licence; parts that nothing made are left out.

    A part that was not offered has no version.
    """
    claims: tuple[Claim, ...] = (labels.beats, labels.chords, labels.key)
    return [f"{one.tool} {one.version} ({one.licence})" for one in claims if one.version]


def _swaps(
    known: Mapping[str, ClipBesideJudge], hears: Sequence[Control], seed: int
) -> SwapReport | None:
    """The swap test of pairs of which the judge heard both clips."""
    pairs = []
    for other in known.values():
        one = known.get(other.swap_of)
        if one is not None and one.judged is not None and other.judged is not None:
            pairs.append(
                Swapped(
                    (reduced(one.asked, hears), reduced(other.asked, hears)),
                    (
                        reduced(estimated_controls(one.judged), hears),
                        reduced(estimated_controls(other.judged), hears),
                    ),
                    (_audible(one.timing, hears), _audible(other.timing, hears)),
                    (one.judged, other.judged),
                )
            )
    return swap_report(pairs, seed=seed) if pairs else None
