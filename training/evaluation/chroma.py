"""A clip's pitch classes over time, for pictures: ten frames a second, 0 to 255.

Shapes: T frames, P bins of the pitch spectrum.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pipelines.annotators import RATE_HZ
from pipelines.annotators.pitch_spectrum import (
    BINS_PER_SEMITONE,
    FPS,
    LOWEST_PITCH,
    SEMITONES,
    PitchSpectrum,
)
from pipelines.annotators.windows import AnnotateWindow
from pipelines.engine.child_process import Death
from training.evaluation.heard_wave import heard_wave

_LONGEST_S: Final = 60.0  # a picture of more shows nothing
_LOWEST, _HIGHEST = 36, 96  # MIDI pitches: C2 to C7, where harmony is; drums fill what is outside


class Chroma(NamedTuple):
    """Rows from C to B, columns in time; of the clip's first minute."""

    levels: npt.NDArray[np.uint8]
    frames_per_s: float


def chromas(windows: Sequence[AnnotateWindow], _: None) -> list[Chroma | Death]:
    """The chroma of each window; runs in a worker's child."""
    found: list[Chroma | Death] = []
    for window in windows:
        end_s = min(window.end_s, window.start_s + _LONGEST_S)
        heard = heard_wave(window.path, window.start_s, end_s)
        found.append(heard if isinstance(heard, Death) else chroma_of(heard.at(RATE_HZ)))
    return found


def chroma_of(wave: npt.NDArray[np.float32]) -> Chroma:
    """Chroma of a wave at 44.1 kHz: what stands out of each frame, relative to the loudest."""
    with torch.no_grad():
        spectrum_TP = PitchSpectrum()(torch.from_numpy(np.ascontiguousarray(wave))[None])[0].numpy()
    by_pitch = spectrum_TP.reshape(len(spectrum_TP), SEMITONES, BINS_PER_SEMITONE).max(axis=2)
    pitches = LOWEST_PITCH + np.arange(SEMITONES)
    in_range = (pitches >= _LOWEST) & (pitches < _HIGHEST)
    folded = np.stack(
        [by_pitch[:, in_range & (pitches % 12 == tone)].mean(axis=1) for tone in range(12)]
    )
    # what sounds in all pitch classes is noise
    above = np.maximum(folded - np.median(folded, axis=0), 0)
    top = max(float(np.quantile(above, 0.99)), 1e-6)
    return Chroma((255 * np.clip(above / top, 0, 1)).astype(np.uint8), FPS)
