"""How far what is heard keeps to the asked timeline: beats, chords, curves and tempo of one clip.

Each figure is none where nothing is asked that it could be of. Rules are those of mir_eval (Raffel
et al. 2014) and MIREX.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from pipelines.labels.agreement import BEAT_WINDOW_S, TEMPO_TOLERANCE
from schemas.chord import NO_CHORD
from schemas.controls import NO_PITCH
from training.metrics.timing import SoundingChord, TimeSpan

CHANGE_WINDOW_S: Final = 0.25  # beside an asked change, about a quarter of a bar at 240 BPM
OCTAVES: Final = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)  # MIREX: tempi that ears take for one another
# below it, as the measure `silent_share`, nothing is heard: how far below says nothing
_SILENT_DB: Final = -60.0
_LEAST_FRAMES: Final = 3  # what a correlation needs
_EVEN_DB: Final = 0.1  # of spread: what is asked evenly has no shape to follow


class ChordRule(StrEnum):
    """When two chords are equal, by mir_eval; `_inv`: the bass too."""

    ROOT = "root"
    MAJMIN = "majmin"  # root and third; of asked major and minor chords (and their sevenths) alone
    MAJMIN_INV = "majmin_inv"
    SEVENTHS = "sevenths"  # of asked maj, min, 7, maj7, min7 alone
    SEVENTHS_INV = "sevenths_inv"


def event_f(
    asked_s: Sequence[float],
    heard_s: Sequence[float],
    window_s: float = BEAT_WINDOW_S,
    known: Sequence[TimeSpan] | None = None,
) -> float | None:
    """F-measure of events heard within `window_s` of those asked for; none where none is asked for.

    With `known`, those within its parts are asked for; what is heard elsewhere is not counted.

    >>> event_f((1.0, 2.0), (1.05, 2.5)), event_f((), (1.0,))
    (0.5, None)
    >>> event_f((1.0, 2.0), (1.0, 1.5, 2.0, 2.5), known=[(0.0, 1.2)])
    1.0
    """
    asked = [time_s for time_s in asked_s if _is_within(time_s, known)]
    if not asked:
        return None
    heard = [
        time_s
        for time_s in heard_s
        if _is_within(time_s, known) or min(abs(time_s - one) for one in asked) <= window_s
    ]
    if not heard:
        return 0.0
    import mir_eval.util  # late: it loads half of scipy

    hits = len(mir_eval.util.match_events(np.asarray(asked), np.asarray(heard), window_s))
    return 2 * hits / (len(asked) + len(heard))


def _is_within(time_s: float, known: Sequence[TimeSpan] | None) -> bool:
    return known is None or any(start_s <= time_s < end_s for start_s, end_s in known)


def chord_overlap(
    asked: Sequence[SoundingChord], heard: Sequence[SoundingChord], rule: ChordRule
) -> float | None:
    """Share of the asked chords' time in which the heard chord is equal by a rule.

    Time without an asked chord is not counted, nor that of chords which the rule does not compare;
    none where that leaves nothing.

    >>> asked = [SoundingChord("C:maj", 0, 2), SoundingChord("D:min7", 2, 4)]
    >>> heard = [SoundingChord("C:maj", 0, 3), SoundingChord("D:min", 3, 4)]
    >>> chord_overlap(asked, heard, ChordRule.MAJMIN), chord_overlap(asked, heard, "sevenths")
    (0.75, 0.5)
    """
    edges = sorted({edge for span in (*asked, *heard) for edge in (span.start_s, span.end_s)})
    right = total = 0.0
    for start_s, end_s in pairwise(edges):
        wanted = _sounding(asked, (start_s + end_s) / 2)
        if wanted is None:
            continue
        equal = _equal(wanted, _sounding(heard, (start_s + end_s) / 2) or NO_CHORD, rule)
        if equal is not None:
            total += end_s - start_s
            right += (end_s - start_s) * equal
    return right / total if total else None


def _sounding(spans: Sequence[SoundingChord], time_s: float) -> str | None:
    return next((span.label for span in spans if span.start_s <= time_s < span.end_s), None)


@lru_cache(maxsize=65536)  # a closed vocabulary, and each clip against each other's timeline
def _equal(asked: str, heard: str, rule: str) -> bool | None:
    """Whether two chords are equal by a rule of mir_eval; none where it does not compare them."""
    import mir_eval.chord  # late: it loads half of scipy

    [found] = getattr(mir_eval.chord, rule)([asked], [heard])
    return None if found < 0 else bool(found)


def melody_accuracy(asked: Sequence[int | None], heard: Sequence[int]) -> float | None:
    """Share of the frames in which a pitch class is asked for where just that is heard.

    Frames that are not asked for, or for which no pitch is, are not counted; frames beyond the
    sound's end are misses. The measure of Music ControlNet (Wu et al. 2023), of 12 classes.

    >>> melody_accuracy((0, 4, None, 12, 7), (0, 5, 1, 1))
    0.3333333333333333
    """
    wanted = [(at, one) for at, one in enumerate(asked) if one is not None and one != NO_PITCH]
    if not wanted:
        return None
    return sum(at < len(heard) and heard[at] == one for at, one in wanted) / len(wanted)


class DynamicsFigures(NamedTuple):
    """How a level curve is followed: its shape, its level, and its shape in dB."""

    correlation: float | None  # Pearson's; none where what is asked is even
    error_db: float  # root of the mean square
    shape_error_db: float  # the same, each curve's mean taken off


def dynamics_figures(
    asked_db: Sequence[float | None], heard_db: Sequence[float]
) -> DynamicsFigures | None:
    """How far levels are those asked for, over the frames that are; none where there are none.

    Levels below -60 dB count as that. An even sound does not correlate with an uneven curve.

    >>> dynamics_figures((-20.0, -10.0, None, -20.0), (-30.0, -20.0, 0.0, -30.0))
    DynamicsFigures(correlation=1.0, error_db=10.0, shape_error_db=0.0)
    """
    pairs = [
        (one, heard) for one, heard in zip(asked_db, heard_db, strict=False) if one is not None
    ]
    if not pairs:
        return None
    asked, heard = np.maximum(np.array(pairs, np.float64), _SILENT_DB).T
    asked_shape, heard_shape = asked - asked.mean(), heard - heard.mean()
    return DynamicsFigures(
        correlation=_correlation(asked_shape, heard_shape),
        error_db=round(float(np.sqrt(np.mean((heard - asked) ** 2))), 6),
        shape_error_db=round(float(np.sqrt(np.mean((heard_shape - asked_shape) ** 2))), 6),
    )


def _correlation(
    asked_shape: np.ndarray[tuple[int], np.dtype[np.float64]],
    heard_shape: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float | None:
    if len(asked_shape) < _LEAST_FRAMES or asked_shape.std() < _EVEN_DB:
        return None
    if heard_shape.std() < 1e-9:
        return 0.0
    spread = np.sqrt(np.sum(asked_shape**2) * np.sum(heard_shape**2))
    return round(float(np.sum(asked_shape * heard_shape) / spread), 6)


def tempo_accuracy(
    asked_bpm: float, heard_bpm: float | None, factors: Sequence[float] = (1.0,)
) -> float:
    """1 or 0: whether the heard tempo is within 4 % of the asked one times one of the factors.

    With the factor 1 MIREX's accuracy 1, with `OCTAVES` its accuracy 2.

    >>> tempo_accuracy(90, 181), tempo_accuracy(90, 181, OCTAVES)
    (0.0, 1.0)
    """
    if heard_bpm is None:
        return 0.0
    return float(
        any(abs(heard_bpm / (asked_bpm * factor) - 1) <= TEMPO_TOLERANCE for factor in factors)
    )


def tempo_ratio(asked_bpm: float, heard_bpm: float | None) -> float:
    """The lower tempo over the higher, 0 to 1; 0 where none is heard.

    >>> tempo_ratio(100, 50), tempo_ratio(100, 125)
    (0.5, 0.8)
    """
    return 0.0 if heard_bpm is None else min(asked_bpm / heard_bpm, heard_bpm / asked_bpm)


def folded_tempo_ratio(asked_bpm: float, heard_bpm: float | None) -> float:
    """The same with octaves (twice, half, four times …) taken for equal: from 0.707, the farthest
    that a tempo can be, to 1; 0 where none is heard.

    >>> folded_tempo_ratio(100, 50), round(folded_tempo_ratio(100, 150), 2)
    (1.0, 0.75)
    """
    if heard_bpm is None:
        return 0.0
    octaves = math.log2(heard_bpm / asked_bpm)
    return float(2 ** -abs(octaves - round(octaves)))
