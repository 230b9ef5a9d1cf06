"""Notes of a practice piece, on the channels that its parts play."""

import math
from typing import Final, NamedTuple

# Channels of General MIDI, which keeps the tenth for drums.
CHORDS: Final = 0
BASS: Final = 1
MELODY: Final = 2
PAD: Final = 3
DRUMS: Final = 9


class MidiNote(NamedTuple):
    """A note: MIDI channel, pitch and velocity; start and length in beats; `loose` notes start a
    little early or late.

    Starts are written in quarters of a beat, which floats hold exactly; swing comes afterwards.
    """

    channel: int
    beat: float
    length: float
    pitch: int
    velocity: int
    loose: bool = True


class Playing(NamedTuple):
    """All notes of a piece and the program of each channel."""

    notes: tuple[MidiNote, ...]
    programs: dict[int, int]


def next_bar(beat: float, meter: int) -> int:
    """The first bar line after a beat.

    >>> next_bar(3.5, 4), next_bar(4.0, 4)
    (4, 8)
    """
    return (math.floor(beat / meter) + 1) * meter


def bars_within(beat: float, end: float, meter: int) -> range:
    """The beats on which the bars begin that sound between two beats.

    >>> list(bars_within(2.0, 9.0, 4))
    [0, 4, 8]
    """
    return range(math.floor(beat / meter) * meter, math.ceil(end / meter) * meter, meter)
