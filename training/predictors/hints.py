"""What a caption and flags state, as features beside the text: a language model's states say little of numbers.

The rate of stated chords tells of the bar, and with a tempo of the meter: chords tend to change where bars begin.
"""

import math
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from training.asking.wishes import Wishes
from training.predictors.targets import FASTEST_BPM, METERS, MODES, SLOWEST_BPM

Features = npt.NDArray[np.float32]
_STEPS: Final = 4  # bumps an octave: apart enough to tell 3 from 4 (0.4 octaves)


class Known(NamedTuple):
    """What is stated; none where it is not."""

    bpm: float | None
    meter: int | None
    is_mode: bool  # a key or a mode is stated
    is_chords: bool
    chords_per_s: float | None  # chords without times, over the whole clip
    chord_s: float | None  # the median from one stated start of a chord to the next


def known_of(wishes: Wishes, duration_s: float) -> Known:
    """What wishes state for a clip of a length.

    >>> from training.asking.wishes import read_wishes
    >>> known_of(read_wishes("The chords are C at 0 seconds, F at 1.5 seconds and G at 3.5 seconds."), 10).chord_s
    2.0
    """
    chart = wishes.chart
    starts_s = [at_s for _, at_s in wishes.timed if at_s > 0]  # one at 0 s may have begun before
    gaps_s = [later - earlier for earlier, later in pairwise(starts_s) if later > earlier]
    return Known(
        bpm=float(wishes.bpm.fact.value) if wishes.bpm else None,
        meter=int(wishes.meter.fact.value) if wishes.meter else None,
        is_mode=bool(wishes.key or wishes.mode or wishes.chords_source),
        is_chords=wishes.chords_source is not None,
        chords_per_s=len(chart.bars) / duration_s if chart and not chart.is_measured else None,
        chord_s=median(gaps_s) if gaps_s else None,
    )


def beat_features(known: Known, meter: int | None) -> Features:
    """Features (H,) for meter and tempo. `meter` is the one decided on, none where it is still to be found."""
    bpm, rate, chord_s = known.bpm, known.chords_per_s, known.chord_s
    return np.concatenate(
        [
            _bumps(bpm, SLOWEST_BPM, FASTEST_BPM),
            _one_of(None if meter is None else METERS.index(meter), len(METERS)),
            _bumps(rate, 1 / 16, 4),
            _bumps(chord_s, 1 / 4, 16),
            _bumps(chord_s * bpm / 60 if chord_s and bpm else None, 1, 16),  # beats of a chord
            _bumps(bpm / 60 / rate if rate and bpm else None, 1, 16),
            _bumps(60 * meter / chord_s if chord_s and meter else None, 15, 800),  # the tempo, were a chord a bar
            _bumps(60 * meter * rate if rate and meter else None, 15, 800),
        ]
    )


def chord_features(bpm: float, meter: int, mode: int) -> Features:
    """Features (H,) for chords: the tempo, the meter and the place of the mode, which are all decided on by then."""
    return np.concatenate([_bumps(bpm, SLOWEST_BPM, FASTEST_BPM), _one_of(METERS.index(meter), len(METERS)), _one_of(mode, len(MODES))])


BEAT_FEATURES: Final = len(beat_features(Known(None, None, False, False, None, None), None))
CHORD_FEATURES: Final = len(chord_features(120, 4, 0))


def _bumps(value: float | None, low: float, high: float) -> Features:
    """A number on a logarithmic scale as the heights of bumps spread over it; all zero where there is none.

    >>> _bumps(60, 30, 120).round(1).tolist()
    [0.0, 0.0, 0.0, 0.6, 1.0, 0.6, 0.0, 0.0, 0.0]
    """
    places = np.arange(1 + math.ceil(_STEPS * math.log2(high / low)))
    if not value:
        return np.zeros(len(places), np.float32)
    at = min(max(_STEPS * math.log2(value / low), 0.0), float(places[-1]))
    return np.exp(-((places - at) ** 2) / 2).astype(np.float32)


def _one_of(place: int | None, count: int) -> Features:
    out = np.zeros(count, np.float32)
    if place is not None:
        out[place] = 1
    return out
