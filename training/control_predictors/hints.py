"""What a caption and flags state, as features beside the text: a language model's states say little
of numbers.

The rate of stated chords tells of the bar, and with a tempo of the meter: chords tend to change
where bars begin.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.captioning.check import chord_labels
from pipelines.captioning.tempo_words import METRONOME, BpmRange, tempo_word
from schemas.labels import Labels
from training.control_predictors.targets import FASTEST_BPM, METERS, MODES, SLOWEST_BPM
from training.prompt_controls.requested import Provenance, RequestedControls

Features = npt.NDArray[np.float32]
_STEPS: Final = 4  # bumps an octave: apart enough to tell 3 from 4 (0.4 octaves)


class StatedControls(NamedTuple):
    """What is stated; none where it is not."""

    bpm: float | None
    about_bpm: float | None  # the middle of what tempo words allow
    meter: int | None
    is_mode: bool  # a key or a mode is stated
    is_chords: bool
    chords_per_s: float | None  # chords without times, over the whole clip
    chord_s: float | None  # the median from one stated start of a chord to the next


def stated_by(requested: RequestedControls, duration_s: float) -> StatedControls:
    """What is stated of a clip of a length.

    >>> from training.prompt_controls.requested import read_requested
    >>> said = "The chords are C at 0 seconds, F at 1.5 seconds and G at 3.5 seconds."
    >>> stated_by(read_requested(said), 10).chord_s
    2.0
    """
    # A flag's chords may go round and round; a caption lists all that sound.
    chart = requested.chart if requested.chords_source is Provenance.CAPTION else None
    return StatedControls(
        bpm=requested.bpm.fact.bpm if requested.bpm else None,
        about_bpm=_middle_bpm(requested.span) if requested.words else None,
        meter=requested.meter.fact.beats_per_bar if requested.meter else None,
        is_mode=bool(requested.key or requested.mode or requested.chords_source),
        is_chords=requested.chords_source is not None,
        chords_per_s=len(chart.bars) / duration_s if chart and not chart.is_measured else None,
        chord_s=_pace_s([at_s for _, at_s in requested.timed]),
    )


def as_if_stated(
    known: StatedControls, labels: Labels, chance: float, rng: np.random.Generator
) -> StatedControls:
    """What another caption of a clip might state beside: each for itself, its tempo, and how its
    chords go, listed or with times.
    """
    is_tempo, is_word, is_chords, is_timed = (rng.random(4) < (chance, 0.5, chance, 0.5)).tolist()
    bpm = labels.tempo.bpm
    if is_tempo and bpm is not None and known.bpm is None and known.about_bpm is None:
        word = _middle_bpm(METRONOME[tempo_word(bpm)])
        known = known._replace(about_bpm=word) if is_word else known._replace(bpm=bpm)
    if not is_chords or known.is_chords:
        return known
    starts_s = [segment.start_s for segment in labels.chords.segments]
    if is_timed:
        return known._replace(chord_s=_pace_s(starts_s))
    return known._replace(chords_per_s=len(chord_labels(labels.chords)) / labels.duration_s or None)


def _middle_bpm(span: BpmRange) -> float:
    """The geometric middle of a range of tempos, its open ends those of a metronome."""
    return math.sqrt(max(span.low, 40) * max(min(span.high, 208), span.low, 40))


def _pace_s(starts_s: Sequence[float]) -> float | None:
    """The median from one start to the next.

    The first is left out if it is at 0 s, where a chord may have begun before.
    """
    sure_s = [start_s for start_s in starts_s if start_s > 0]
    gaps_s = [later - earlier for earlier, later in pairwise(sure_s) if later > earlier]
    return median(gaps_s) if gaps_s else None


def beat_features(known: StatedControls, meter: int | None) -> Features:
    """Features (H,) for meter and tempo.

    `meter` is the one decided on, none where it is still to be found.
    """
    bpm, about, rate, chord_s = (
        known.bpm,
        known.bpm or known.about_bpm,
        known.chords_per_s,
        known.chord_s,
    )
    return np.concatenate(
        [
            _bumps(bpm, SLOWEST_BPM, FASTEST_BPM),
            _bumps(known.about_bpm, SLOWEST_BPM, FASTEST_BPM),
            _one_of(None if meter is None else METERS.index(meter), len(METERS)),
            _bumps(rate, 1 / 16, 4),
            _bumps(chord_s, 1 / 4, 16),
            _bumps(chord_s * about / 60 if chord_s and about else None, 1, 16),  # beats of a chord
            _bumps(about / 60 / rate if rate and about else None, 1, 16),
            # the tempo, were a chord a bar
            _bumps(60 * meter / chord_s if chord_s and meter else None, 15, 800),
            _bumps(60 * meter * rate if rate and meter else None, 15, 800),
        ]
    )


def chord_features(bpm: float, meter: int, mode: int) -> Features:
    """Features (H,) for chords: tempo, meter and the index of the mode, all decided on by then."""
    return np.concatenate(
        [
            _bumps(bpm, SLOWEST_BPM, FASTEST_BPM),
            _one_of(METERS.index(meter), len(METERS)),
            _one_of(mode, len(MODES)),
        ]
    )


def _bumps(value: float | None, low: float, high: float) -> Features:
    """A number on a logarithmic scale as the heights of bumps spread over it; all zero for none.

    >>> (10 * _bumps(60, 30, 120)).round().astype(int).tolist()
    [0, 0, 1, 6, 10, 6, 1, 0, 0]
    """
    centres = np.arange(1 + math.ceil(_STEPS * math.log2(high / low)))
    if not value:
        return np.zeros(len(centres), np.float32)
    at = min(max(_STEPS * math.log2(value / low), 0.0), float(centres[-1]))
    return np.exp(-((centres - at) ** 2) / 2).astype(np.float32)


def _one_of(index: int | None, count: int) -> Features:
    out = np.zeros(count, np.float32)
    if index is not None:
        out[index] = 1
    return out


BEAT_FEATURES: Final = len(
    beat_features(StatedControls(None, None, None, False, False, None, None), None)
)
CHORD_FEATURES: Final = len(chord_features(120, 4, 0))
