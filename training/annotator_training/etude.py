"""Random practice pieces to train ears on: any key, meter, tempo and harmony, exact truth.

Nothing here is meant to be listened to. The pieces are wider than real music, so that real music
lies within them.
"""

from bisect import bisect_right
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.chord import Chord
from schemas.pitch import Key, Mode
from training.annotator_training.progressions import progression, sample_manner

Floats = npt.NDArray[np.floating[Any]]
_SLOWEST_BPM: Final = 56
_FASTEST_BPM: Final = 196


class EtudeChord(NamedTuple):
    """A chord from `beat` on; `colour` is a tension that sounds without being named, in semitones
    above the root, or none.
    """

    beat: float
    length: float
    chord: Chord
    colour: int | None = None

    @property
    def end(self) -> float:
        """The beat at which the chord is over."""
        return self.beat + self.length


class Etude(NamedTuple):
    """A piece: its key, or none where it is drums alone; chords; the seconds at which beats fall,
    from `beats_s[0]` on.

    The last of `beats_s` is the end of the last bar: no beat falls there.
    """

    key: Key | None
    meter: int
    bpm: float
    swing: float  # where the second eighth falls within its beat
    beats_s: Floats
    spans: tuple[EtudeChord, ...]

    @property
    def beats(self) -> int:
        """How many beats there are: whole bars."""
        return len(self.beats_s) - 1

    def seconds(self, beat: float) -> float:
        """When a beat, or a place between two, falls."""
        return float(np.interp(beat, np.arange(len(self.beats_s)), self.beats_s))

    def span_at(self, beat: float) -> EtudeChord:
        """The chord that sounds at a beat of a piece with chords."""
        return self.spans[bisect_right(self.spans, beat, key=lambda span: span.beat) - 1]


class HarmonicRhythm(NamedTuple):
    """How many beats each chord lasts, whole bars in sum or a part of one, and how often."""

    beats: tuple[int, ...]
    weight: float

    @property
    def is_even(self) -> bool:
        """Whether all chords last as long."""
        return len(self.beats) == 1


# By meter. Where chords of a bar differ in length the longer one comes first, as in most music.
_RHYTHMS: Final = {
    2: (HarmonicRhythm((2,), 6.0), HarmonicRhythm((1,), 1.0), HarmonicRhythm((4,), 3.0)),
    3: (
        HarmonicRhythm((3,), 6.0),
        HarmonicRhythm((1,), 0.6),
        HarmonicRhythm((6,), 1.5),
        HarmonicRhythm((2, 1), 2.0),
        HarmonicRhythm((3, 2, 1), 0.8),
    ),
    4: (
        HarmonicRhythm((4,), 6.0),
        HarmonicRhythm((2,), 2.5),
        HarmonicRhythm((1,), 0.8),
        HarmonicRhythm((8,), 1.8),
        HarmonicRhythm((3, 1), 0.8),
        HarmonicRhythm((2, 1, 1), 0.8),
        HarmonicRhythm((4, 2, 2), 1.0),
    ),
}


def etude(rng: np.random.Generator, duration_s: float) -> Etude:
    """A piece of at least `duration_s`."""
    meter = int(rng.choice((2, 3, 4), p=(0.06, 0.34, 0.6)))
    bpm = float(np.exp(rng.uniform(np.log(_SLOWEST_BPM), np.log(_FASTEST_BPM))))
    key = Key(tonic=int(rng.integers(12)), mode=Mode.MAJOR if rng.random() < 0.52 else Mode.MINOR)
    # more than needed: the tempo drifts
    bars = int(np.ceil((duration_s * 1.1 + 1.0) * bpm / 60.0 / meter)) + 2
    beats_s = _beat_times(rng, bpm, bars * meter)
    swing = float(rng.uniform(0.6, 0.7)) if rng.random() < 0.2 else 0.5
    spans = () if rng.random() < 0.03 else _harmony(rng, key, meter, bars * meter, bpm)
    return Etude(key if spans else None, meter, bpm, swing, beats_s, spans)


def _beat_times(rng: np.random.Generator, bpm: float, beats: int) -> Floats:
    """Seconds of each beat and the end: steady, drifting by up to 6 %, or with rubato of 12 %."""
    drift = rng.uniform(-0.06, 0.06) if rng.random() < 0.3 else 0.0
    tempi = bpm * (1 + drift * np.linspace(-1, 1, beats))
    if rng.random() < 0.25:
        waves = np.cumsum(rng.normal(0, 0.02, beats))
        tempi = tempi * np.exp(np.clip(waves - waves.mean(), -0.12, 0.12))
    return np.concatenate([[0.0], np.cumsum(60.0 / tempi)])


def _harmony(
    rng: np.random.Generator, key: Key, meter: int, beats: int, bpm: float
) -> tuple[EtudeChord, ...]:
    """Chords over all beats: two loops in turn, each one to four times, or a single loop."""
    manner = sample_manner(rng)
    length = int(rng.choice((1, 2, 2, 3, 4, 4, 4, 4, 5, 6, 8)))
    loops = [progression(rng, key, manner, length) for _ in range(2)]
    repeats = int(rng.choice((1, 2, 4, 100)))  # 100: longer than any piece
    rhythm = _rhythm(rng, meter, bpm)
    # chords that come an eighth early
    ahead = 0.5 if rhythm.is_even and rhythm.beats[0] >= 2 and rng.random() < 0.06 else 0.0
    spans: list[EtudeChord] = []
    beat, number = 0.0, 0
    while beat < beats:
        chord, colour = loops[number // (repeats * length) % 2][number % length]
        start, end = max(0.0, beat - ahead), beat + _step(rng, rhythm, number, beat, meter)
        if spans and spans[-1].chord == chord:
            spans[-1] = spans[-1]._replace(length=end - spans[-1].beat)
        else:
            if spans:
                spans[-1] = spans[-1]._replace(length=start - spans[-1].beat)
            spans.append(EtudeChord(start, end - start, chord, colour))
        beat, number = end, number + 1
    return tuple(
        span._replace(length=min(span.length, beats - span.beat))
        for span in spans
        if span.beat < beats
    )


def _rhythm(rng: np.random.Generator, meter: int, bpm: float) -> HarmonicRhythm:
    """How long chords last: rarely under 0.45 s or over 6 s."""
    rhythms = _RHYTHMS[meter]
    lengths_s = np.array([np.mean(rhythm.beats) for rhythm in rhythms]) * 60 / bpm
    weights = np.array([rhythm.weight for rhythm in rhythms])
    weights = np.where(
        lengths_s < 0.45, weights * 0.1, np.where(lengths_s > 6, weights * 0.2, weights)
    )
    return rhythms[int(rng.choice(len(rhythms), p=weights / weights.sum()))]


def _step(
    rng: np.random.Generator, rhythm: HarmonicRhythm, number: int, beat: float, meter: int
) -> float:
    """Beats until the next chord: the rhythm's; of an even one, one time in ten half of them, and
    then what is left of the bar.
    """
    beats = rhythm.beats[number % len(rhythm.beats)]
    if not rhythm.is_even:
        return beats
    if rng.random() < 0.1 and beats % 2 == 0 and beat % meter == 0 and meter != 3:
        return beats / 2
    grid = min(beats, meter)
    return grid - beat % grid if beat % grid else beats
