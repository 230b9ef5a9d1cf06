"""Recordings that somebody names: their sound, and what is measured in it, read in a child process
with the limits that files of a corpus have.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pipelines.annotators.windows import AnnotateWindow
from pipelines.audio.controls import controls_of
from pipelines.audio.decode import Wave, downmixed, read_window, resampled
from pipelines.audio.probe import probe_files
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput, readable
from pipelines.inputs.listing import AUDIO
from schemas.controls import AudioControls
from schemas.recipe import Recipe
from training.errors import TrainingError

SOUND_ENDINGS: Final = tuple(sorted(AUDIO))


class Recording(NamedTuple):
    """A file's sound within [-1, 1], mono or (S, 2), and its controls."""

    wave: Wave
    rate_hz: int
    controls: AudioControls

    def at(self, rate_hz: int) -> Wave:
        """The sound at another rate."""
        return resampled(self.wave, self.rate_hz, rate_hz)


def is_sound(name: str) -> bool:
    """Whether a value names a sound by its ending.

    >>> is_sound("song.FLAC"), is_sound("C4 D4")
    (True, False)
    """
    return name.strip().lower().endswith(SOUND_ENDINGS)


def read_recording(path: Path, flag: str, *, stereo: bool = False) -> Recording:
    """A whole file, mono, or with both of its channels.

    Raises `TrainingError` where it is not there, or not one that a corpus could be built of.
    """
    name, recipe = readable(str(path)), Recipe()
    if not path.is_file():
        raise TrainingError(f"{flag} {name} is not a file: name a recording that is there")
    with bucket.child(recipe.limits) as child:
        [probed] = child.run(probe_files, [str(path)], recipe.ingest)
        if isinstance(probed, Death):
            found: Recording | Death = probed
        else:
            window = AnnotateWindow(name, str(path), 0.0, probed.duration_s)
            [found] = child.run(recordings_of, [window], stereo)
    if isinstance(found, Death):
        why = f"{found.code}: {found.message} {found.figure}".strip()
        raise TrainingError(f"{flag} {name} cannot be heard: {why}")
    return found


def recordings_of(windows: Sequence[AnnotateWindow], stereo: bool) -> list[Recording | Death]:
    """Each window's sound and controls; runs in a worker's child."""
    found: list[Recording | Death] = []
    for window in windows:
        try:
            audio = read_window(window.path, window.start_s, window.end_s, stereo=stereo)
        except DeadInput as error:
            found.append(Death(error.code, error.message, error.figure))
            continue
        wave = np.nan_to_num(audio.wave)
        as_one = downmixed(wave)[0] if wave.ndim == 2 else wave
        found.append(Recording(wave, audio.rate_hz, controls_of(as_one, audio.rate_hz)))
    return found
