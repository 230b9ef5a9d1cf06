"""How many beats and chords of a clip are told as tokens. Frame rows have no such limit."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

# of a clip, as published: 10 s at 215 BPM, the fastest that is annotated, have 36
MAX_BEATS: Final = 50
MAX_CHORDS: Final = 20  # of a clip, as published: two a second for 10 s
_PUBLISHED_S: Final = 10.24  # the clip that these are for: TANGO's


class TokenLimits(NamedTuple):
    """Tokens of a clip at most."""

    beats: int = MAX_BEATS
    chords: int = MAX_CHORDS

    @classmethod
    def of(cls, seconds: float, beats: int | None = None, chords: int | None = None) -> Self:
        """Those of clips of a length: as stated, else the published ones, which grow with clips
        that are longer than those they were made for.

        >>> TokenLimits.of(10.24), TokenLimits.of(95), TokenLimits.of(30, chords=40)
        (TokenLimits(beats=50, chords=20), TokenLimits(beats=464, chords=186), ...
        """
        longer = max(1.0, seconds / _PUBLISHED_S)
        return cls(
            math.ceil(MAX_BEATS * longer) if beats is None else beats,
            math.ceil(MAX_CHORDS * longer) if chords is None else chords,
        )


def most_within(times_s: Sequence[float], seconds: float) -> int:
    """How many of some ascending times lie within any part of so many seconds, at most.

    >>> most_within((0.0, 4.0, 5.0, 6.0), 2.5)
    3
    """
    most, first = 0, 0
    for index, time_s in enumerate(times_s):
        while time_s - times_s[first] >= seconds:
            first += 1
        most = max(most, index - first + 1)
    return most
