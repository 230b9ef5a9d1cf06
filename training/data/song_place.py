"""Where in its song a window of a sample lies."""

import math
from typing import Final, NamedTuple

from schemas.sample import Sample
from training.conditions.clip_controls import Span


class SongPlace(NamedTuple):
    """Where in its song a window begins, and how long the song is: NaN where that is not known."""

    start_s: float
    song_s: float


UNKNOWN_PLACE: Final = SongPlace(math.nan, math.nan)


def place_in_song(sample: Sample, window: Span) -> SongPlace:
    """The place of a window of a sample, in a song that is as fast as the sample."""
    speed = sample.change.speed
    return SongPlace(
        sample.start_s / speed + window.start_s, (sample.song_s or sample.end_s) / speed
    )
