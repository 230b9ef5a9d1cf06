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


def place_in_song(sample: Sample, window: Span, *, ends: bool = False) -> SongPlace:
    """The place of a window of a sample, in a song that is as fast as the sample.

    Where silence is learned behind the window, that is where its song `ends`: a net cannot tell the
    end of a clip that somebody cut from that of a song.
    """
    speed = sample.change.speed
    start_s = sample.start_s / speed + window.start_s
    if ends:
        return SongPlace(start_s, start_s + window.end_s - window.start_s)
    return SongPlace(start_s, (sample.song_s or sample.end_s) / speed)
