"""Vectors by which a piece of sound is found again among many, wherever it begins and however high
it is played.

After Bertin-Mahieux and Ellis ("Large-scale cover song recognition using the 2D Fourier transform
magnitude", ISMIR 2012): of a patch of levels by time and pitch, the magnitudes of its Fourier
transform stay when the music begins a little later or is transposed. They say nothing of words or
labels, and need no weights.

Shapes: T frames, B bands, N patches, D dimensions.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.audio.decode import Wave, resampled

Vectors = npt.NDArray[np.float32]
PATCH_S: Final = 5.0
HOP_S: Final = 2.5  # a copy begins within 1.25 s of a patch
_RATE_HZ: Final = 6000
_SIZE: Final = 2048  # 0.34 s, bins of 3 Hz
_FRAME_HZ: Final = 10
_LOW_HZ: Final = 130.8  # C3: below it a semitone is narrower than two bins
_BANDS: Final = 48  # semitones
_FLOOR_DB: Final = -60.0  # below the loudest: what a codec adds there is not the music's
_TRANSFORM: Final = 64  # frames and bands with silence around them
_TIMES: Final = 16  # slowest changes in time that are kept, up to 2.5 Hz
_TINY: Final = 1e-9
_LEAST_S: Final = 1.0  # of music at a clip's end that make a patch of their own


class PatchVectors(NamedTuple):
    """Unit vectors of a clip's patches, and when each begins."""

    vectors_ND: Vectors
    starts_s: tuple[float, ...]


def patch_vectors(wave: Wave, rate_hz: int, speed: float = 1.0) -> PatchVectors:
    """Patches of 5 s, one each 2.5 s, of a mono wave as it would sound at `speed`; times are the
    wave's own. A shorter wave is one patch, silence behind it; one of silence alone has none.

    >>> patch_vectors(np.zeros(16_000, np.float32), 16_000).starts_s
    ()
    """
    level_TB = _levels(resampled(wave, rate_hz, _RATE_HZ), speed)
    if not level_TB.any():
        return PatchVectors(np.empty((0, _TRANSFORM * _TIMES), np.float32), ())
    length, hop = round(PATCH_S * _FRAME_HZ), round(HOP_S * _FRAME_HZ)
    last = max(0, len(level_TB) - length + hop - round(_LEAST_S * _FRAME_HZ))
    found, starts = [], []
    for begin in range(0, last + 1, hop):
        vector = _vector(level_TB[begin : begin + length])
        if vector is not None:
            found.append(vector)
            starts.append(begin * speed / _FRAME_HZ)
    return PatchVectors(
        np.stack(found) if found else np.empty((0, _TRANSFORM * _TIMES), np.float32), tuple(starts)
    )


def _levels(low: Wave, speed: float) -> npt.NDArray[np.float32]:
    """Decibels above the floor (T, B); silence is 0."""
    side = _SIZE // 2
    begins = np.round(np.arange(0, max(1, len(low)), _RATE_HZ / _FRAME_HZ * speed)).astype(np.intp)
    padded = np.pad(low, (side, side))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[begins]
    spectrum = np.fft.rfft(frames * np.hanning(_SIZE).astype(np.float32))
    power_TK = spectrum.real**2 + spectrum.imag**2
    hertz = _LOW_HZ * 2 ** ((np.arange(_BANDS + 1) - 0.5) / 12)
    edges = np.round(hertz * _SIZE / _RATE_HZ).astype(np.intp)
    power_TB = np.add.reduceat(power_TK, edges, axis=1)[:, :-1]
    loudest = float(power_TB.max(initial=0.0))
    if loudest <= 0:
        return np.zeros(power_TB.shape, np.float32)
    floor = 10 ** (_FLOOR_DB / 10)
    level_TB = 10 * np.log10(power_TB / loudest + floor) - _FLOOR_DB
    return np.asarray(level_TB, np.float32)


def _vector(level_TB: npt.NDArray[np.float32]) -> Vectors | None:
    """The unit vector of a patch; none where its levels never change."""
    # what stands still is the sound of instruments, which songs share
    moving_TB = (level_TB - level_TB.mean(axis=0)) * np.hanning(len(level_TB) + 2)[1:-1, None]
    size = np.abs(np.fft.rfft2(moving_TB.T, (_TRANSFORM, _TRANSFORM)))[:, 1 : 1 + _TIMES]
    # All music changes more slowly than fast, and more smoothly than not: what is left where both
    # are divided out is a patch's own. 13 copies among 150 demo songs, sped, transposed and through
    # the codec, then stand out by 2.2 standard deviations of the others instead of 0.5 (medians).
    expected = size.mean(axis=0) * size.mean(axis=1, keepdims=True)
    if not expected.any():
        return None
    evened = np.sqrt(size / (expected + _TINY * expected.max())).ravel()
    evened -= evened.mean()
    length = float(np.linalg.norm(evened))
    return (evened / length).astype(np.float32) if length > 0 else None
