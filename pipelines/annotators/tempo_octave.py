"""Whether every other beat is one too many: networks prefer fast readings of slow music.

Where every other beat is faint the clip is analysed a second time, played faster, and where it
stays faint the tempo is halved.

Constants were fitted on 110 rendered clips at three speeds (seeds 200-309) and 48 pieces of the
demo's composer, some at 16 kHz, so that none of the latter is halved.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.annotators import RATE_HZ
from pipelines.annotators.bar_net import ACCENT_FPS, Accents
from pipelines.annotators.harmony import Floats
from pipelines.audio.decode import Wave, resampled
from pipelines.labels.transform import tempo_bpm

DOUBTFUL: Final = 0.92  # fainter than this, every other beat is looked at again
# the slower reading may go down to 40 BPM where the tracker's own range begins at 55
SLOWER: Final = 0.72
# half of it is the slowest tempo that is looked for: a jig at 104 is not a march at 52
_DOUBLED_FROM_BPM: Final = 110.0
_FAINT_BPM, _FAINT = (130.0, 160.0), (0.6, 0.2)
_FASTER: Final = 1.28

Beats = npt.NDArray[np.float64]  # (beats, 2): time, number


def faintness(beats: Beats, accents: Accents) -> float:
    """Mean activation of the fainter every-other beats as a share of the others'; 1 where a tempo
    cannot be twice the real one.
    """
    bpm = tempo_bpm(beats[:, 0].tolist())
    if bpm is None or bpm < _DOUBLED_FROM_BPM or max(beats[:, 1]) % 2:
        return 1.0
    strength = accents.activations[np.round(beats[:, 0] * ACCENT_FPS).astype(int)].sum(axis=1)
    fainter, stronger = sorted((float(strength[0::2].mean()), float(strength[1::2].mean())))
    return fainter / stronger if stronger else 1.0


def played_faster(wave: Wave) -> Wave:
    """The wave of the second pass: faster, and higher."""
    return resampled(wave, RATE_HZ, round(RATE_HZ / _FASTER))


def averaged(accents: Accents, faster: Accents) -> Accents:
    """Mean of the networks' activations at both speeds, frame by frame of the slower.

    Its last frames lie past the faster's end.
    """
    frames = np.arange(len(accents.activations)) / _FASTER
    stretched = np.stack(
        [
            np.interp(frames, np.arange(len(faster.activations)), column)
            for column in faster.activations.T
        ],
        axis=1,
    )
    both: Floats = ((accents.activations + stretched) / 2).astype(np.float32)
    return accents._replace(activations=both)


def is_too_fast(beats: Beats, accents: Accents, faintness_before: float) -> bool:
    """Whether every other beat is faint in the mean of both hearings."""
    bpm, faint = tempo_bpm(beats[:, 0].tolist()), faintness(beats, accents)
    return (
        bpm is not None
        and faint != 1
        and (faint + faintness_before) / 2 < float(np.interp(bpm, _FAINT_BPM, _FAINT))
    )


def is_half(slower: Beats, beats: Beats) -> bool:
    """Whether a reading has half the tempo of another."""
    bpm = tempo_bpm(beats[:, 0].tolist())
    return bpm is not None and 0.4 < (tempo_bpm(slower[:, 0].tolist()) or 0.0) / bpm < 0.6
