"""Fingerprints: a few hundred bytes of a recording by which a copy is known, whatever its file,
level or coding.

After Haitsma and Kalker (ISMIR 2002): per frame one bit for each of 32 pairs of neighbouring bands,
which says whether their difference in level has grown since the frame before. Copies agree in most
bits, other music in about half.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.audio.decode import Wave, resampled

FRAME_HZ: Final = 20
BITS: Final = 32
_RATE_HZ: Final = 6000  # what coders and small speakers keep
_SIZE: Final = 2048  # 0.34 s: so long that a copy cut elsewhere gives nearly the same frames
_LOW_HZ: Final = 300.0
_HIGH_HZ: Final = 2000.0
_LEAST_S: Final = 3.0  # of music in common: less is not evidence
_FARTHEST_S: Final = 5.0  # shifts that are tried: half a clip of the usual length
Fingerprint = npt.NDArray[np.uint32]  # one number a frame


class FingerprintAgreement(NamedTuple):
    """How well two fingerprints agree where they agree best: the share of equal bits, and how much
    later the second has the same music.
    """

    share: float
    shift_s: float


def fingerprint(wave: Wave, rate_hz: int) -> Fingerprint:
    """The fingerprint of a mono wave, 20 frames a second; silence gives zeros.

    >>> silence = fingerprint(np.zeros(44_100, np.float32), 44_100)
    >>> len(silence), int(silence.max())
    (20, 0)
    """
    low = resampled(wave, rate_hz, _RATE_HZ)
    hop, side = _RATE_HZ // FRAME_HZ, _SIZE // 2
    padded = np.pad(low, (side, side))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[: max(1, len(low)) : hop]
    spectrum = np.fft.rfft(frames * np.hanning(_SIZE).astype(np.float32))
    energy_TB = np.add.reduceat(spectrum.real**2 + spectrum.imag**2, _edges(), axis=1)[:, :-1]
    between_TB = np.diff(energy_TB, axis=1)
    grown = np.diff(between_TB, axis=0, prepend=between_TB[:1]) > 0
    return np.packbits(grown, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)


def _edges() -> npt.NDArray[np.intp]:
    """First bins of 33 bands of equal width in pitch, and of what lies above."""
    hertz = np.geomspace(_LOW_HZ, _HIGH_HZ, BITS + 2)
    return np.round(hertz * _SIZE / _RATE_HZ).astype(np.intp)


def agreement(one: Fingerprint, other: Fingerprint) -> FingerprintAgreement:
    """The best agreement over all shifts up to 5 s that leave 3 s in common; without any, none."""
    farthest, least = round(_FARTHEST_S * FRAME_HZ), round(_LEAST_S * FRAME_HZ)
    found = FingerprintAgreement(0.0, 0.0)
    # of equals the smallest shift stands
    for shift in sorted(range(-farthest, farthest + 1), key=abs):
        common = min(len(one) - max(0, -shift), len(other) - max(0, shift))
        if common < min(least, len(one), len(other)) or common <= 0:
            continue
        first, second = one[max(0, -shift) :][:common], other[max(0, shift) :][:common]
        sounds = (first != 0) | (second != 0)
        if not sounds.any():
            continue
        share = 1 - float(np.bitwise_count(first[sounds] ^ second[sounds]).mean()) / BITS
        if share > found.share:
            found = FingerprintAgreement(round(share, 4), round(shift / FRAME_HZ, 2))
    return found
