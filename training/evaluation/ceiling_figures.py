"""What recordings of the same prompts get, beside a report's figures, and what is left of them
through the model's codec.

A recording follows its caption as far as the caption says what is in it and the annotators hear
that; what the codec's round trip lacks besides, the codec costs. No caption says when something
sounds: recordings are held to the timeline of their own labels, as stored with the sample. And no
recording follows a swapped prompt: in the swap test its ceiling is one-sided, the share of
recordings that are nearer to their own prompt than to the swapped one (a tie is half), where one
piece of a pair may be right and chance is a half.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from training.evaluation.beside_asked import pairs_by_kind
from training.evaluation.ceilings import Ceilings
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import EstimatedClip
from training.evaluation.report import CeilingCounts, ClipReport, EvaluationReport
from training.metrics.controls import Control, estimated_controls
from training.metrics.outcomes import scores
from training.metrics.summary import Figure
from training.metrics.swap import SwapFigures
from training.metrics.swap_judges import OTHER_JUDGES, Swapped, judge_of, judgement
from training.metrics.swap_kinds import CHORD_SWAPS, SwapKind
from training.metrics.timeline_figures import AskedTimeline, HeardTimeline, timeline_scores
from training.metrics.timing import Timing

_Values = Mapping[str, float]  # by a figure's name


def with_ceilings(
    report: EvaluationReport, made: Sequence[MadeClip], ceilings: Ceilings
) -> EvaluationReport:
    """The report with what recordings and the codec's round trip get beside each figure that they
    can have.
    """
    sides = [_Side.of(report, made, found) for found in (ceilings.recordings, ceilings.codec)]
    recordings, codec = sides
    swaps = report.swaps
    return report.replaced(
        ceilings=CeilingCounts(
            recordings=len(ceilings.recordings),
            codec=len(ceilings.codec),
            codec_name=ceilings.codec_name,
        ),
        figures=_beside(report.figures, recordings.figures, codec.figures),
        timeline=_beside(report.timeline, recordings.timeline, codec.timeline),
        swaps=swaps
        and swaps.replaced(
            swaps=tuple(
                _swap_beside(row, recordings.swaps.get(row.swap, {}), codec.swaps.get(row.swap, {}))
                for row in swaps.swaps
            )
        ),
    )


class _Side(NamedTuple):
    """Means by a figure's name: of recordings, or of their round trips."""

    figures: _Values
    timeline: _Values
    swaps: Mapping[SwapKind, _Values]

    @classmethod
    def of(
        cls,
        report: EvaluationReport,
        made: Sequence[MadeClip],
        found: Mapping[str, EstimatedClip],
    ) -> "_Side":
        by_name = {
            one.name: found[one.reference]
            for one in made
            if not one.swap_of and one.reference in found
        }
        clips = [clip for clip in report.clips if clip.name in by_name]
        beside = [(clip, by_name[clip.name]) for clip in clips]
        return cls(
            _means([_control_scores(clip, one) for clip, one in beside]),
            _means([_timeline_scores(clip, one) for clip, one in beside]),
            {
                kind: _swap_means(kind, pairs, report.clips, by_name)
                for kind, pairs in pairs_by_kind(report.clips).items()
            },
        )


def _means(rows: Iterable[Mapping[str, float]]) -> _Values:
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            values[name].append(value)
    return {name: round(fmean(found), 4) for name, found in values.items()}


def _control_scores(clip: ClipReport, one: EstimatedClip) -> _Values:
    assert one.labels is not None  # ceilings keep those alone
    found = scores(clip.asked, estimated_controls(one.labels))
    return {str(metric): value for metric, value in found.items()}


def _timeline_scores(clip: ClipReport, one: EstimatedClip) -> _Values:
    assert one.labels is not None
    asked = AskedTimeline(one.made.timing, clip.asked.bpm, one.made.curves)
    found = timeline_scores(asked, HeardTimeline(one.labels, one.controls))
    return {str(metric): value for metric, value in found.items()}


def _swap_means(
    kind: SwapKind,
    pairs: Mapping[str, Swapped],
    clips: Sequence[ClipReport],
    by_name: Mapping[str, EstimatedClip],
) -> _Values:
    """What recordings give by each judge, and how near they are to either prompt."""
    originals = {clip.name: clip.swap_of for clip in clips}
    rows: list[dict[str, float]] = []
    for name, pair in pairs.items():
        one = by_name.get(originals[name])
        recorded = _recorded(kind, pair, one) if one else None
        if recorded:
            rows.append(_verdicts(recorded, kind.control))
    return _means(rows)


def _recorded(kind: SwapKind, pair: Swapped, one: EstimatedClip) -> Swapped | None:
    """A recording in the place of both clips of a pair, held to its own labels' timeline and to the
    same with the control swapped; none where its labels cannot be swapped so.
    """
    assert one.labels is not None
    timing = one.made.timing
    swapped = _swapped_timing(timing, kind, pair)
    if swapped is None:
        return None
    heard = estimated_controls(one.labels)
    return Swapped(pair.requested, (heard, heard), (timing, swapped), (one.labels, one.labels))


def _swapped_timing(timing: Timing, kind: SwapKind, pair: Swapped) -> Timing | None:
    own, other = (side.bpm for side in pair.requested)
    if kind is SwapKind.TEMPO and own and other:
        return timing.replaced(
            beats_s=tuple(time_s * own / other for time_s in timing.beats_s),
            downbeats_s=tuple(time_s * own / other for time_s in timing.downbeats_s),
        )
    if kind.control is not Control.CHORDS:
        return timing
    change = CHORD_SWAPS.get(kind)
    labels = change(tuple(chord.label for chord in timing.chords)) if change else None
    if labels is None:
        return None
    chords = zip(labels, timing.chords, strict=True)
    return timing.replaced(chords=tuple(chord._replace(label=label) for label, chord in chords))


def _verdicts(pair: Swapped, control: Control) -> dict[str, float]:
    main = judge_of(pair, control)
    found = {judge: judgement(pair, judge) for judge in (main, *OTHER_JUDGES[control])}
    known: dict[str, float] = {
        str(judge): one.scores[0] for judge, one in found.items() if one is not None
    }
    nearest = found[main]
    if nearest is not None:
        known |= {"own": nearest.own[0], "other": nearest.other[0]}
    return known


def _beside(figures: Sequence[Figure], recordings: _Values, codec: _Values) -> tuple[Figure, ...]:
    return tuple(
        one.replaced(recordings=recordings.get(one.name), codec=codec.get(one.name))
        for one in figures
    )


def _swap_beside(row: SwapFigures, recordings: _Values, codec: _Values) -> SwapFigures:
    followed, own, other = _beside((row.followed, row.own, row.other), recordings, codec)
    return row.replaced(
        followed=followed, own=own, other=other, also=_beside(row.also, recordings, codec)
    )
