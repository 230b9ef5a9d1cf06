"""Figures of many clips against their asked timelines: means with intervals, and chance."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import fmean
from typing import Final, NamedTuple

from schemas.controls import AudioControls
from schemas.labels import Labels
from training.metrics.summary import Figure, Kind, figure, other_shifts
from training.metrics.timeline import (
    CHANGE_WINDOW_S,
    OCTAVES,
    ChordRule,
    chord_overlap,
    dynamics_figures,
    event_f,
    folded_tempo_ratio,
    melody_accuracy,
    tempo_accuracy,
)
from training.metrics.timing import AskedCurves, Timing, changes_s, sounding_spans


class TimelineMetric(StrEnum):
    """Figures against the asked timeline."""

    BEATS = "beat F"
    DOWNBEATS = "downbeat F"
    TEMPO_1 = "tempo, accuracy 1"
    TEMPO_2 = "tempo, accuracy 2"
    TEMPO_FOLDED = "tempo ratio, folded"
    ROOT = "chord overlap, root"
    MAJMIN = "chord overlap, majmin"
    MAJMIN_INV = "chord overlap, majmin and bass"
    SEVENTHS = "chord overlap, sevenths"
    SEVENTHS_INV = "chord overlap, sevenths and bass"
    CHANGES = "chord change F"
    MELODY = "melody accuracy"
    DYNAMICS = "dynamics correlation"
    DYNAMICS_ERROR = "dynamics error, dB"
    DYNAMICS_SHAPE = "dynamics shape error, dB"


TIMELINE_MEANING: Final = {
    TimelineMetric.BEATS: "F-measure of beats within 70 ms of the asked grid",
    TimelineMetric.DOWNBEATS: "F-measure of downbeats within 70 ms",
    TimelineMetric.TEMPO_1: "clips whose tempo is within 4 % of the asked one",
    TimelineMetric.TEMPO_2: "the same, or of 2, 3, 1/2 or 1/3 times that",
    TimelineMetric.TEMPO_FOLDED: "lower tempo over higher, octaves taken for equal (70.7 % to 100)",
    TimelineMetric.ROOT: "asked time in which the heard chord has the asked root",
    TimelineMetric.MAJMIN: "the same root and third",
    TimelineMetric.MAJMIN_INV: "the same root, third and bass",
    TimelineMetric.SEVENTHS: "the same root, third and seventh",
    TimelineMetric.SEVENTHS_INV: "the same root, third, seventh and bass",
    TimelineMetric.CHANGES: "F-measure of chord changes within 0.25 s of the asked ones",
    TimelineMetric.MELODY: "asked frames with the asked pitch class",
    TimelineMetric.DYNAMICS: "Pearson's correlation of asked and heard level, clip by clip",
    TimelineMetric.DYNAMICS_ERROR: "root mean square of heard minus asked level",
    TimelineMetric.DYNAMICS_SHAPE: "the same, each clip's mean level taken off",
}
OVERLAPS: Final = {
    TimelineMetric.ROOT: ChordRule.ROOT,
    TimelineMetric.MAJMIN: ChordRule.MAJMIN,
    TimelineMetric.MAJMIN_INV: ChordRule.MAJMIN_INV,
    TimelineMetric.SEVENTHS: ChordRule.SEVENTHS,
    TimelineMetric.SEVENTHS_INV: ChordRule.SEVENTHS_INV,
}
_KINDS: Final = {
    TimelineMetric.TEMPO_1: Kind.SHARE,
    TimelineMetric.TEMPO_2: Kind.SHARE,
    TimelineMetric.DYNAMICS: Kind.MEAN,
    TimelineMetric.DYNAMICS_ERROR: Kind.MEAN,
    TimelineMetric.DYNAMICS_SHAPE: Kind.MEAN,
}
# not within 0 to 1: shown as they are
UNBOUNDED: Final = frozenset(
    (TimelineMetric.DYNAMICS, TimelineMetric.DYNAMICS_ERROR, TimelineMetric.DYNAMICS_SHAPE)
)
TimelineScores = Mapping[TimelineMetric, float]


class AskedTimeline(NamedTuple):
    """What a clip is held to: `bpm` is a stated tempo; beats and chords as they were laid out for
    it, whether stated or filled in.
    """

    timing: Timing
    bpm: float | None = None
    curves: AskedCurves | None = None


class HeardTimeline(NamedTuple):
    """What was estimated of a clip; its own controls where curves were asked for."""

    labels: Labels
    controls: AudioControls | None = None


def timeline_scores(asked: AskedTimeline, heard: HeardTimeline) -> TimelineScores:
    """How a clip fares by each figure that something was asked for."""
    found = (
        _beats(asked.timing, heard.labels)
        | _tempo(asked.bpm, heard.labels.tempo.bpm)
        | _chords(asked.timing, heard.labels)
        | _curves(asked.curves, heard.controls)
    )
    return {metric: value for metric, value in found.items() if value is not None}


_Found = dict[TimelineMetric, float | None]


def _beats(timing: Timing, heard: Labels) -> _Found:
    known = timing.beats_known
    return {
        TimelineMetric.BEATS: event_f(timing.beats_s, heard.beats.times_s, known=known),
        TimelineMetric.DOWNBEATS: event_f(timing.downbeats_s, heard.beats.downbeats_s, known=known),
    }


def _tempo(asked_bpm: float | None, heard_bpm: float | None) -> _Found:
    if asked_bpm is None:
        return {}
    return {
        TimelineMetric.TEMPO_1: tempo_accuracy(asked_bpm, heard_bpm),
        TimelineMetric.TEMPO_2: tempo_accuracy(asked_bpm, heard_bpm, OCTAVES),
        TimelineMetric.TEMPO_FOLDED: folded_tempo_ratio(asked_bpm, heard_bpm),
    }


def _chords(timing: Timing, heard: Labels) -> _Found:
    asked, sounding = timing.chord_spans(heard.duration_s), sounding_spans(heard)
    found: _Found = {
        metric: chord_overlap(asked, sounding, rule) for metric, rule in OVERLAPS.items()
    }
    found[TimelineMetric.CHANGES] = event_f(
        timing.chord_changes_s(heard.duration_s),
        changes_s(sounding),
        CHANGE_WINDOW_S,
        timing.chords_known,
    )
    return found


def _curves(asked: AskedCurves | None, heard: AudioControls | None) -> _Found:
    if asked is None or heard is None:
        return {}
    found: _Found = {TimelineMetric.MELODY: melody_accuracy(asked.melody, heard.melody)}
    dynamics = dynamics_figures(asked.dynamics_db, heard.dynamics_db)
    if dynamics is not None:
        found |= {
            TimelineMetric.DYNAMICS: dynamics.correlation,
            TimelineMetric.DYNAMICS_ERROR: dynamics.error_db,
            TimelineMetric.DYNAMICS_SHAPE: dynamics.shape_error_db,
        }
    return found


def timeline_figures(
    pairs: Sequence[tuple[AskedTimeline, HeardTimeline]], *, seed: int = 0
) -> tuple[Figure, ...]:
    """Each figure over the clips for which something of it was asked, beside chance: the same
    clips against each other's timelines.
    """
    rows = [timeline_scores(asked, heard) for asked, heard in pairs]
    count = len(pairs)
    others = [
        timeline_scores(asked, pairs[(index + shift) % count][1])
        for shift in other_shifts(count)
        for index, (asked, _) in enumerate(pairs)
    ]
    found = []
    for metric in TimelineMetric:
        values = [row[metric] for row in rows if metric in row]
        by_chance = [row[metric] for row in others if metric in row]
        if values:
            one = figure(
                metric,
                TIMELINE_MEANING[metric],
                values,
                _KINDS.get(metric, Kind.MEAN_SHARE),
                key=f"timeline {metric}",
                seed=seed,
            )
            found.append(one.replaced(chance=round(fmean(by_chance), 4) if by_chance else None))
    return tuple(found)
