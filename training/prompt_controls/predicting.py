"""The interface of a learned predictor of what a caption leaves open (control_predictors)."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from pipelines.captioning.tempo_words import BpmRange
from schemas.chord import Chord
from schemas.labels import ChordSegment
from schemas.pitch import Key, Mode
from training.prompt_controls.grid import Grid, TimelineChord, segments_of
from training.prompt_controls.requested import RequestedControls


class PredictionRequest(NamedTuple):
    """A caption, what it and the flags state, and the length of the clip."""

    caption: str
    requested: RequestedControls
    duration_s: float


class PredictedChord(NamedTuple):
    """A chord and how many beats it lasts."""

    chord: Chord
    beats: int


class Predictor(Protocol):
    """Answers for what a request leaves open: the likeliest where `rng` is none, else one drawn.

    The same arguments, the same answer.
    """

    def meter(self, request: PredictionRequest, rng: np.random.Generator | None) -> int:
        """Beats per bar."""

    def tempo(
        self,
        request: PredictionRequest,
        beats_per_bar: int,
        *,
        span: BpmRange,
        least_bpm: float,
        rng: np.random.Generator | None,
    ) -> float | None:
        """Beats per minute within what words and the number of chords allow, if any is known."""

    def mode(self, request: PredictionRequest, rng: np.random.Generator | None) -> Mode:
        """The mode of the key."""

    def chords(
        self, request: PredictionRequest, key: Key, grid: Grid, rng: np.random.Generator | None
    ) -> Sequence[PredictedChord]:
        """Chords in a key, one after the other from the first beat of the grid, at least to its
        last; none where it has no beat.
        """


def predicted_segments(chords: Sequence[PredictedChord], grid: Grid) -> tuple[ChordSegment, ...]:
    """Chords over a grid, from its first beat on; those past its end are left out.

    >>> from training.prompt_controls.grid import beat_grid
    >>> two = [PredictedChord(Chord.parse("A:min"), 3), PredictedChord(Chord.parse("E:7"), 3)]
    >>> grid = beat_grid(60, 3, 5.0)
    >>> [(one.start_s, one.end_s, one.label) for one in predicted_segments(two, grid)]
    [(0.0, 3.0, 'A:min'), (3.0, 5.0, 'E:7')]
    """
    timeline: list[TimelineChord] = []
    beat = 0
    for one in chords:
        if beat < len(grid.times_s):
            timeline.append(TimelineChord(beat, one.chord.harte))
        beat += one.beats
    return segments_of(timeline, grid)
