"""Fingerprints: a few hundred bytes of a recording by which a copy is known, whatever its file,
level or coding.

After Haitsma and Kalker (ISMIR 2002): per frame one bit for each of 32 pairs of neighbouring bands,
which says whether their difference in level has grown since the frame before. Copies agree in most
bits, other music in about half.
"""

from collections.abc import Sequence
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
    return changed_fingerprints(wave, rate_hz, (1.0,), (0,))[1.0, 0]


def changed_fingerprints(
    wave: Wave, rate_hz: int, speeds: Sequence[float], semitones: Sequence[int]
) -> dict[tuple[float, int], Fingerprint]:
    """Fingerprints of a mono wave as it would sound at each speed and so many semitones higher, by
    speed and semitones.

    Nothing is stretched: frames lie farther apart, bands lower. So they are near those of a copy
    that Rubber Band or a player made, and cost a fraction of it.

    >>> found = changed_fingerprints(np.zeros(44_100, np.float32), 44_100, (1.0, 1.25), (0, 2))
    >>> [(change, len(bits)) for change, bits in found.items()]
    [((1.0, 0), 20), ((1.0, 2), 20), ((1.25, 0), 16), ((1.25, 2), 16)]
    """
    low = resampled(wave, rate_hz, _RATE_HZ)
    return {
        (speed, higher): _bits(power_TK, higher)
        for speed in speeds
        for power_TK in (_power(low, speed),)
        for higher in semitones
    }


def _power(low: Wave, speed: float) -> npt.NDArray[np.float32]:
    """The power spectrum of each frame (T frames, K bins)."""
    side = _SIZE // 2
    padded = np.pad(low, (side, side))
    begins = np.round(np.arange(0, max(1, len(low)), _RATE_HZ / FRAME_HZ * speed)).astype(np.intp)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[begins]
    spectrum = np.fft.rfft(frames * np.hanning(_SIZE).astype(np.float32))
    power_TK: npt.NDArray[np.float32] = spectrum.real**2 + spectrum.imag**2
    return power_TK


def _bits(power_TK: npt.NDArray[np.float32], semitones: int) -> Fingerprint:
    energy_TB = np.add.reduceat(power_TK, _edges(semitones), axis=1)[:, :-1]
    between_TB = np.diff(energy_TB, axis=1)
    grown = np.diff(between_TB, axis=0, prepend=between_TB[:1]) > 0
    return np.packbits(grown, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)


def _edges(semitones: int) -> npt.NDArray[np.intp]:
    """First bins of 33 bands of equal width in pitch, and of what lies above, for a sound that is
    to be so many semitones higher.
    """
    hertz = np.geomspace(_LOW_HZ, _HIGH_HZ, BITS + 2) * 2 ** (-semitones / 12)
    return np.round(hertz * _SIZE / _RATE_HZ).astype(np.intp)


def agreement(one: Fingerprint, other: Fingerprint) -> FingerprintAgreement:
    """The best agreement over all shifts up to 5 s that leave 3 s in common; without any, none."""
    farthest, least = round(_FARTHEST_S * FRAME_HZ), round(_LEAST_S * FRAME_HZ)
    found = FingerprintAgreement(0.0, 0.0)
    differing, silent = _unequal_bits(one, other), _both_silent(one, other)
    # of equals the smallest shift stands
    for shift in sorted(range(-farthest, farthest + 1), key=abs):
        common = min(len(one) - max(0, -shift), len(other) - max(0, shift))
        if common < min(least, len(one), len(other)) or common <= 0:
            continue
        sounding = common - silent[shift]
        if not sounding:
            continue
        share = 1 - float(differing[shift] / sounding) / BITS
        if share > found.share:
            found = FingerprintAgreement(round(share, 4), round(shift / FRAME_HZ, 2))
    return found


def _unequal_bits(one: Fingerprint, other: Fingerprint) -> npt.NDArray[np.int64]:
    """In how many bits two fingerprints differ where both are, by shift; a negative shift stands
    at the end, as Python counts.
    """
    first_TB, second_TB = _signs(one), _signs(other)
    overlap = _correlated(np.ones((len(one), 1)), np.ones((len(other), 1)))
    equal_minus_unequal = _correlated(first_TB, second_TB)
    return (BITS * overlap - equal_minus_unequal) // 2


def _both_silent(one: Fingerprint, other: Fingerprint) -> npt.NDArray[np.int64]:
    """Frames in which both are silent, by shift."""
    return _correlated((one == 0)[:, None].astype(np.float64), (other == 0)[:, None].astype(float))


def _signs(bits: Fingerprint) -> npt.NDArray[np.float64]:
    """Bits as 1 and -1 (T frames, 32)."""
    spread_TB = (bits[:, None] >> np.arange(BITS, dtype=np.uint32)) & np.uint32(1)
    return 2.0 * spread_TB - 1.0


def _correlated(
    one_TB: npt.NDArray[np.float64], other_TB: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Sums of products of whole numbers, exact, by the shift of the second against the first."""
    size = 1 << (len(one_TB) + len(other_TB) + round(_FARTHEST_S * FRAME_HZ)).bit_length()
    spectra = np.fft.rfft(one_TB, size, axis=0).conj() * np.fft.rfft(other_TB, size, axis=0)
    return np.rint(np.fft.irfft(spectra.sum(axis=1), size)).astype(np.int64)
