"""How a swap is judged: which of two prompts each of two clips is nearer to.

Each clip gives 1 where it is nearer to what its own prompt asks than to what the other one's does,
0 where it is farther, and a half for a tie; 0 too where nothing is heard to judge by. A pair
*followed* by the product of the two: 1 where both clips are nearer to their own, and for ties the
chance that both would be if each were settled by a coin. Chance is the mean of that and of the same
with the two heard clips exchanged: exact for each pair, and a quarter for clips that are nearer to
one or the other at random.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from schemas.labels import Labels
from training.metrics.controls import Control, PromptControls
from training.metrics.matching import by_third, longest_in_order
from training.metrics.timeline import (
    ChordRule,
    chord_overlap,
    event_f,
    folded_tempo_ratio,
    tempo_ratio,
)
from training.metrics.timing import Timing, sounding_spans

_TIE: Final = 1e-9  # what differs by rounding alone is equal


class Judge(StrEnum):
    """By what a clip is nearer to one prompt than to another."""

    MAJMIN = "by root and third"
    ROOT = "by root"
    SEVENTHS = "by root, third and seventh"
    ORDER = "by order"
    TEMPO_FOLDED = "by tempo, octaves apart"
    TEMPO_PLAIN = "by tempo"
    BEATS = "by beats"
    KEY = "by key"
    METER = "by meter"


JUDGE_MEANING: Final = {
    Judge.MAJMIN: "each clip overlaps its own chord timeline more, by root and third",
    Judge.ROOT: "each clip overlaps its own chord timeline more, by root",
    Judge.SEVENTHS: "each clip overlaps its own chord timeline more, by root, third and seventh",
    Judge.ORDER: "each clip has more of its own chords in their order, by root and third",
    Judge.TEMPO_FOLDED: "each clip nearer to its own tempo, octaves taken for equal",
    Judge.TEMPO_PLAIN: "each clip nearer to its own tempo",
    Judge.BEATS: "each clip's beats nearer to its own grid (F-measure within 70 ms)",
    Judge.KEY: "each clip in its own key",
    Judge.METER: "each clip in its own meter",
}
_RULE: Final[Mapping[Judge, ChordRule]] = {
    Judge.MAJMIN: ChordRule.MAJMIN,
    Judge.ROOT: ChordRule.ROOT,
    Judge.SEVENTHS: ChordRule.SEVENTHS,
}
# whose verdicts stand beside
OTHER_JUDGES: Final[Mapping[Control, tuple[Judge, ...]]] = {
    Control.TEMPO: (Judge.TEMPO_PLAIN, Judge.BEATS),
    Control.KEY: (),
    Control.CHORDS: (Judge.ROOT, Judge.SEVENTHS, Judge.ORDER),
    Control.METER: (),
}


class Swapped(NamedTuple):
    """Two clips: what each prompt requests, what is estimated of each, and the timelines that they
    were made with, where these are known.
    """

    requested: tuple[PromptControls, PromptControls]
    estimated: tuple[PromptControls, PromptControls]
    timings: tuple[Timing, Timing] = (Timing(), Timing())
    labels: tuple[Labels | None, Labels | None] = (None, None)


class Judgement(NamedTuple):
    """What each clip of a pair gives, 0, a half or 1, and what it would with the two exchanged;
    how near each clip comes to its own prompt and to the other's, 0 to 1.
    """

    scores: tuple[float, float]
    exchanged: tuple[float, float]
    own: tuple[float, float]
    other: tuple[float, float]

    @property
    def followed(self) -> float:
        """1 where both clips are nearer to their own, a half or a quarter with ties, else 0."""
        return math.prod(self.scores)

    @property
    def chance(self) -> float:
        """The mean over both ways in which the two clips can be given to the two prompts."""
        return (self.followed + math.prod(self.exchanged)) / 2


def judge_of(pair: Swapped, control: Control) -> Judge:
    """The judge of a pair: for chords by their timelines, or where either is not known by order."""
    if control is Control.CHORDS:
        return Judge.MAJMIN if _may_judge(pair, Judge.MAJMIN) else Judge.ORDER
    return {
        Control.TEMPO: Judge.TEMPO_FOLDED,
        Control.KEY: Judge.KEY,
        Control.METER: Judge.METER,
    }[control]


def judgement(pair: Swapped, judge: Judge) -> Judgement | None:
    """A judge's verdict on a pair; none where it has nothing to judge by: no asked timeline.

    >>> slow, fast = PromptControls(bpm=90), PromptControls(bpm=140)
    >>> slower, faster = PromptControls(bpm=95), PromptControls(bpm=128)
    >>> judgement(Swapped((slow, fast), (slower, faster)), Judge.TEMPO_FOLDED).scores
    (1.0, 1.0)
    >>> judgement(Swapped((slow, fast), (slower, slower)), Judge.TEMPO_FOLDED).followed
    0.0
    """
    if not _may_judge(pair, judge):
        return None
    near = [[nearness(pair, heard, asked, judge) for asked in (0, 1)] for heard in (0, 1)]
    own, other = (near[0][0], near[1][1]), (near[0][1], near[1][0])
    return Judgement(
        scores=(piece_score(own[0], other[0]), piece_score(own[1], other[1])),
        exchanged=(piece_score(other[0], own[0]), piece_score(other[1], own[1])),
        own=(own[0] or 0.0, own[1] or 0.0),
        other=(other[0] or 0.0, other[1] or 0.0),
    )


def piece_score(own: float | None, other: float | None) -> float:
    """What a clip gives that is so near to its own prompt and so near to the other's; none where
    nothing is heard.

    >>> piece_score(0.6, 0.4), piece_score(0.0, 0.0), piece_score(0.4, 0.6), piece_score(None, None)
    (1.0, 0.5, 0.0, 0.0)
    """
    if own is None or other is None:
        return 0.0
    if abs(own - other) <= _TIE:
        return 0.5
    return float(own > other)


def _may_judge(pair: Swapped, judge: Judge) -> bool:
    if judge in _RULE:
        return None not in pair.labels and all(timing.chords for timing in pair.timings)
    if judge is Judge.BEATS:
        return None not in pair.labels and all(timing.beats_s for timing in pair.timings)
    return True


def nearness(pair: Swapped, heard: int, asked: int, judge: Judge) -> float | None:
    """How near clip `heard` of a pair comes to prompt `asked` of it, 0 to 1; none where nothing is
    heard.
    """
    labels, timing = pair.labels[heard], pair.timings[asked]
    if judge in _RULE and labels is not None:
        sounding = sounding_spans(labels)
        spans = timing.chord_spans(labels.duration_s)
        return (chord_overlap(spans, sounding, _RULE[judge]) or 0.0) if sounding else None
    if judge is Judge.BEATS and labels is not None:
        times_s = labels.beats.times_s
        found = event_f(timing.beats_s, times_s, known=timing.beats_known)
        return (found or 0.0) if times_s else None
    return _by_facts(pair.requested[asked], pair.estimated[heard], judge)


def _by_facts(requested: PromptControls, estimated: PromptControls, judge: Judge) -> float | None:
    if judge is Judge.ORDER:
        target, played = (
            [by_third(label) for label in side.chords] for side in (requested, estimated)
        )
        return longest_in_order(target, played) / max(len(target), 1) if played else None
    if judge is Judge.KEY:
        return None if estimated.key is None else float(estimated.key == requested.key)
    if judge is Judge.METER:
        return None if estimated.meter is None else float(estimated.meter == requested.meter)
    if requested.bpm is None or estimated.bpm is None:
        return None
    ratio = folded_tempo_ratio if judge is Judge.TEMPO_FOLDED else tempo_ratio
    return ratio(requested.bpm, estimated.bpm)
