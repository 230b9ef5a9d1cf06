"""An annotator of keys for tests: it dies, spins or eats memory where a clip's pitch says so, and
is honest elsewhere.
"""

import ctypes

import numpy as np

from pipelines.annotators.batch import WaveBatch
from pipelines.audio.decode import Wave
from schemas.labels import KeyLabel

LICENCE = "CC0-1.0"
SEGFAULT_HZ, SPIN_HZ, EAT_HZ = 1000, 2000, 3000


def annotate_key(batch: WaveBatch) -> list[KeyLabel]:
    """C major for every wave, but for three pitches."""
    return [_key(wave) for wave in batch.waves]


def _key(wave: Wave) -> KeyLabel:
    spectrum = np.abs(np.fft.rfft(wave[:44_100]))
    pitch_hz = int(spectrum.argmax())
    if pitch_hz == SEGFAULT_HZ:
        ctypes.string_at(0)
    while pitch_hz == SPIN_HZ:
        pass
    eaten = []
    while pitch_hz == EAT_HZ:
        eaten.append(np.ones(1 << 24))
    return KeyLabel(
        tonic=0, mode="major", confidence=0.9, tool="hostile", version="1", licence=LICENCE
    )
