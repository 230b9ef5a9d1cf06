"""A part of a file as everything that hears clips takes it."""

from typing import NamedTuple

import numpy as np

from pipelines.audio.decode import Wave, read_window, resampled
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput


class HeardWave(NamedTuple):
    """A mono wave without what is not a number, at the file's rate."""

    wave: Wave
    rate_hz: int

    def at(self, rate_hz: int) -> Wave:
        """The wave at another rate."""
        return resampled(self.wave, self.rate_hz, rate_hz)


def heard_wave(path: str, start_s: float, end_s: float) -> HeardWave | Death:
    """A part of a local file, or why it cannot be decoded."""
    try:
        audio = read_window(path, start_s, end_s)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
    return HeardWave(np.nan_to_num(audio.wave), audio.rate_hz)
