"""What predictors answer, in numbers: meters, tempos on a logarithmic scale, and chords above a
tonic with their lengths in beats.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from schemas.chord import Chord, ChordQuality
from schemas.labels import Beats, Chords
from schemas.pitch import Mode
from schemas.sample import Sample
from training.prompt_controls.corpus import relative
from training.prompt_controls.counting import MIN_CHORDS_CONFIDENCE, MIN_CONFIDENCE

METERS: Final = tuple(range(2, 16))  # beats per bar that the parser of captions takes for a meter
MODES: Final = tuple(Mode)
SLOWEST_BPM: Final = 30.0
FASTEST_BPM: Final = 400.0  # what the parser of captions takes for a tempo
CLASSES_PER_OCTAVE: Final = 24  # 3 % apart: within the 4 % that count as the same tempo
TEMPOS: Final = 1 + math.ceil(CLASSES_PER_OCTAVE * math.log2(FASTEST_BPM / SLOWEST_BPM))
# relative to the tonic
CHORDS: Final = tuple(f"{steps}:{quality}" for steps in range(12) for quality in ChordQuality)
NO_CHORD_TOKEN: Final = len(CHORDS)
BEGIN: Final = len(CHORDS) + 1  # stands before the first chord
MAX_BEATS: Final = 16  # of a chord: four bars in four
MAX_SEGMENTS: Final = 40  # of a clip; its rest is not learned
_TOKENS: Final = {chord: place for place, chord in enumerate(CHORDS)}


def tempo_class(bpm: float) -> int:
    """The class of a tempo: a 24th of an octave from 30 BPM on; those beyond are at the ends.

    >>> tempo_class(30), tempo_class(60), tempo_class(61), tempo_class(1000) == TEMPOS - 1
    (0, 24, 25, True)
    """
    return min(TEMPOS - 1, max(0, round(CLASSES_PER_OCTAVE * math.log2(bpm / SLOWEST_BPM))))


def class_bpm(tempo: float) -> float:
    """The tempo of a class.

    >>> class_bpm(24)
    60.0
    """
    return float(SLOWEST_BPM * 2 ** (tempo / CLASSES_PER_OCTAVE))


class Step(NamedTuple):
    """One chord of a clip: its token, its length in beats (none where it is not known) and the
    number of its first beat in the bar.
    """

    token: int
    beats: int | None
    number: int


class Targets(NamedTuple):
    """What a sample's labels say, as far as they are sure enough."""

    bpm: float | None
    meter: int | None
    mode: Mode | None
    chords: tuple[Step, ...]  # empty where chords, beats or key are not sure


def targets_of(sample: Sample) -> Targets:
    """The labels of a sample as targets, by the limits of the corpus's statistics."""
    key, meter = sample.key_label, sample.meter
    is_known_meter = meter.confidence >= MIN_CONFIDENCE and meter.beats_per_bar in METERS
    is_sure = (
        min(sample.chords.confidence, key.confidence) >= MIN_CHORDS_CONFIDENCE
        and min(sample.beats.confidence, sample.beats.downbeat_confidence) >= MIN_CONFIDENCE
        and is_known_meter
    )
    return Targets(
        bpm=sample.tempo.bpm if sample.tempo.confidence >= MIN_CONFIDENCE else None,
        meter=meter.beats_per_bar if is_known_meter else None,
        mode=key.mode if key.confidence >= MIN_CONFIDENCE else None,
        chords=steps_of(sample.chords, sample.beats, key.tonic)
        if is_sure and key.tonic is not None and sample.beats.times_s
        else (),
    )


def steps_of(chords: Chords, beats: Beats, tonic: int) -> tuple[Step, ...]:
    """Chords in order, inversions as root positions and equal neighbours as one, over the beats
    nearest to their starts.

    The length of the last is not known: the clip's end cuts it. The first counts from the clip's
    start.
    """
    tokens: list[int] = []
    starts: list[int] = []
    times_s = np.asarray(beats.times_s)
    for segment in chords.segments:
        token = _token(segment.chord, tonic)
        if not tokens or tokens[-1] != token:
            tokens.append(token)
            starts.append(int(np.abs(times_s - segment.start_s).argmin()))
    ends: Sequence[int | None] = [*starts[1:], None]
    return tuple(
        Step(
            token,
            None if end is None else min(MAX_BEATS, max(1, end - start)),
            beats.numbers[start],
        )
        for token, start, end in zip(tokens, starts, ends, strict=True)
    )[:MAX_SEGMENTS]


def _token(chord: Chord | None, tonic: int) -> int:
    return NO_CHORD_TOKEN if chord is None else _TOKENS[relative(chord, tonic)]
