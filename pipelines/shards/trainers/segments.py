"""A sample as segments of whole bars, no longer than a trainer takes, and the labels of each."""

import math
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from pipelines.labels.transform import excerpt, tempo_bpm
from schemas.labels import TIME_DECIMALS, Labels, Origin

LEAST_S: Final = 4.0  # two bars of 4/4 at 120 BPM: a shorter segment says little of any progression


class CutAt(StrEnum):
    """Where the ends of a segment lie."""

    BARS = "bars"  # on downbeats
    TIME = "time"  # in equal parts: no bar lines are known
    WHOLE = "whole"  # as the sample's: no bar lines are known, and it fits


class SegmentSpan(NamedTuple):
    """A segment of a sample's audio, in seconds from its start."""

    start_s: float
    end_s: float
    at: CutAt


def spans(labels: Labels, most_s: float) -> list[SegmentSpan]:
    """Segments of `most_s` seconds at most, in order: whole bars of about equal length in seconds.

    What stands before the first downbeat and after the last is left out. Without bar lines that
    reach over `LEAST_S`, the sample as a whole where it fits, else equal parts of it.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> kinds = dict(meter=Meter, tempo=Tempo, chords=Chords, key=KeyLabel)
    >>> empty = {name: kind(**how) for name, kind in kinds.items()} | {"duration_s": 10}
    >>> beats = Beats(times_s=(0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5), numbers=(1, 2) * 3 + (1,), **how)
    >>> [(span.start_s, span.end_s) for span in spans(Labels(beats=beats, **empty), 5.0)]
    [(0.5, 4.5), (4.5, 6.5)]
    """
    downbeats = labels.beats.downbeats_s
    if len(downbeats) > 1 and downbeats[-1] - downbeats[0] >= LEAST_S:
        return _of_bars(downbeats, most_s)
    if labels.duration_s <= most_s:
        return [SegmentSpan(0.0, labels.duration_s, CutAt.WHOLE)]
    parts = math.ceil(labels.duration_s / most_s)
    ends = [round(labels.duration_s * part / parts, TIME_DECIMALS) for part in range(parts + 1)]
    return [SegmentSpan(start_s, end_s, CutAt.TIME) for start_s, end_s in pairwise(ends)]


def _of_bars(downbeats: tuple[float, ...], most_s: float) -> list[SegmentSpan]:
    """Each segment ends on the downbeat nearest to an equal share of what is left."""
    out: list[SegmentSpan] = []
    start, last = 0, len(downbeats) - 1
    while start < last:
        left_s = downbeats[last] - downbeats[start]
        goal_s = downbeats[start] + left_s / math.ceil(left_s / most_s)
        fitting = [
            index
            for index in range(start + 1, last + 1)
            if downbeats[index] - downbeats[start] <= most_s
        ]
        if not fitting:  # a bar that is longer than any segment may be
            start += 1
            continue
        end = min(fitting, key=lambda index: abs(downbeats[index] - goal_s))
        out.append(SegmentSpan(downbeats[start], downbeats[end], CutAt.BARS))
        start = end
    return out


def segment_labels(labels: Labels, span: SegmentSpan) -> Labels:
    """The labels of a segment, with the tempo of its own beats where the label was measured."""
    own = excerpt(labels, span.start_s, span.end_s)
    if own.tempo.bpm is None or own.tempo.origin is Origin.STATED:
        return own
    return own.replaced(tempo=own.tempo.replaced(bpm=tempo_bpm(own.beats.times_s)))
