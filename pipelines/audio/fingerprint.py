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
_ROUNDING: Final = 1e-4  # of shares
Fingerprint = npt.NDArray[np.uint32]  # one number a frame
Energies = npt.NDArray[np.float32] | npt.NDArray[np.float64]


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
    energies = changed_energies(wave, rate_hz, speeds, semitones)
    return {change: bits_of(energy_TB) for change, energy_TB in energies.items()}


def changed_energies(
    wave: Wave, rate_hz: int, speeds: Sequence[float], semitones: Sequence[int]
) -> dict[tuple[float, int], Energies]:
    """What the bits are made of, by speed and semitones: energies of 33 bands, 20 frames a second
    (T frames, B bands).
    """
    low = resampled(wave, rate_hz, _RATE_HZ)
    return {
        (speed, higher): np.add.reduceat(power_TK, _edges(higher), axis=1)[:, :-1]
        for speed in speeds
        for power_TK in (_power(low, speed),)
        for higher in semitones
    }


def _power(low: Wave, speed: float) -> Energies:
    """The power spectrum of each frame (T frames, K bins)."""
    side = _SIZE // 2
    padded = np.pad(low, (side, side))
    begins = np.round(np.arange(0, max(1, len(low)), _RATE_HZ / FRAME_HZ * speed)).astype(np.intp)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[begins]
    spectrum = np.fft.rfft(frames * np.hanning(_SIZE).astype(np.float32))
    power_TK: Energies = spectrum.real**2 + spectrum.imag**2
    return power_TK


def bits_of(energy_TB: Energies) -> Fingerprint:
    """The fingerprint that energies of 33 bands give."""
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
    return agreements([one], [other])[0][0]


def agreements(
    ones: Sequence[Fingerprint], others: Sequence[Fingerprint]
) -> list[list[FingerprintAgreement]]:
    """The best agreement of each of some fingerprints with each of others, in rows by the first."""
    longest = max((len(bits) for bits in (*ones, *others)), default=0)
    size = 1 << (2 * longest + round(_FARTHEST_S * FRAME_HZ)).bit_length()
    second = [_BitSpectra.of(bits, size) for bits in others]
    return [
        [_agreement(first, other) for other in second]
        for first in (_BitSpectra.of(bits, size) for bits in ones)
    ]


class _BitSpectra(NamedTuple):
    """A fingerprint as what sums over all shifts are made of: of its bits as 1 and -1 (32 bits,
    frequencies), and of its silent frames.
    """

    frames: int
    size: int
    bits: npt.NDArray[np.complex128]
    silent: npt.NDArray[np.complex128]

    @classmethod
    def of(cls, bits: Fingerprint, size: int) -> "_BitSpectra":
        spread_BT = (bits >> np.arange(BITS, dtype=np.uint32)[:, None]) & np.uint32(1)
        return cls(
            len(bits),
            size,
            np.fft.rfft(2.0 * spread_BT - 1.0, size),
            np.fft.rfft((bits == 0).astype(np.float64), size),
        )


def _agreement(one: _BitSpectra, other: _BitSpectra) -> FingerprintAgreement:
    shifts = _shifts()
    begin, end = np.maximum(0, -shifts), np.maximum(0, shifts)
    common = np.minimum(one.frames - begin, other.frames - end)
    least = min(round(_LEAST_S * FRAME_HZ), one.frames, other.frames)
    # whole numbers: exact
    equal_less_unequal = np.fft.irfft((one.bits.conj() * other.bits).sum(axis=0), one.size)[shifts]
    unequal = (BITS * common - np.rint(equal_less_unequal)) / 2
    silent = np.rint(np.fft.irfft(one.silent.conj() * other.silent, one.size)[shifts])
    counts = (common >= least) & (common > silent) & (common > 0)
    sounding = np.where(counts, common - silent, 1)
    shares = np.where(counts, 1 - unequal / sounding / BITS, 0.0)
    before = np.maximum.accumulate(np.concatenate(([0.0], shares[:-1])))
    found = FingerprintAgreement(0.0, 0.0)
    for index in np.flatnonzero(shares > before - _ROUNDING).tolist():
        if shares[index] > found.share:
            shift_s = round(int(shifts[index]) / FRAME_HZ, 2)
            found = FingerprintAgreement(round(float(shares[index]), 4), shift_s)
    return found


def _shifts() -> npt.NDArray[np.intp]:
    """Frames that the second is later, the smallest first: of equals the smallest shift stands."""
    farthest = round(_FARTHEST_S * FRAME_HZ)
    return np.array(sorted(range(-farthest, farthest + 1), key=abs), np.intp)
