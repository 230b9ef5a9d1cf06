"""Spectra of a wave as the controls read them: coarse ones every 10 ms, fine ones every 100 ms,
always of mono at 16 kHz.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.audio.decode import Wave, downmixed, resampled
from schemas.controls import CONTROL_RATE_HZ

EAR_HZ: Final = 16_000
COARSE_HZ: Final = 100
FINE_SIZE: Final = 4096  # 256 ms: separates semitones from middle C on
BANDS: Final = 40
COARSE_SIZE: Final = 512  # 32 ms
_LOWEST_HZ: Final = 60.0
# what lies further below the loudest moment does not count: levels out hiss and rounding
RANGE_DB: Final = 60.0
# samples at a time: larger arrays are fresh pages from the system each time, at up to four times
# the cost
_BLOCK: Final = 1 << 15

Array = npt.NDArray[Any]


class Spectra(NamedTuple):
    """A wave's spectra."""

    bands_TB: Array  # level in dB of B bands in T frames at 100 Hz, at most 60 under the loudest
    power_T: Array  # mean square of the same frames
    fine_FK: Array  # amplitude of K bins in F frames at 10 Hz; a sine's is its own


def measured_spectra(wave: Wave, rate_hz: int, frames: int) -> Spectra:
    """Spectra of `frames` tenths of a second of a wave (samples,) or (samples, channels)."""
    mono = wave if wave.ndim == 1 else downmixed(wave)[0]
    size = frames * EAR_HZ // CONTROL_RATE_HZ
    ear = resampled(mono, rate_hz, EAR_HZ)[:size]
    ear = np.pad(ear, (0, size - len(ear)), "symmetric") if len(ear) else np.zeros(size, np.float32)
    bands_TB = 10 * np.log10(np.maximum(_spectra(ear, COARSE_SIZE, COARSE_HZ, power=True), 1e-14))
    floor_db = max(float(bands_TB.max()) - RANGE_DB, -120.0)
    hop = EAR_HZ // COARSE_HZ
    power_T = np.square(ear, dtype=np.float32).reshape(-1, hop).mean(axis=1)
    return Spectra(
        np.maximum(bands_TB, floor_db),
        power_T,
        _spectra(ear, FINE_SIZE, CONTROL_RATE_HZ, power=False),
    )


def _spectra(ear: Wave, size: int, frame_hz: int, *, power: bool) -> Array:
    """Spectra of `size` samples around each frame's middle: power in bands, or bins' amplitude."""
    hop = EAR_HZ // frame_hz
    before = (size - hop) // 2
    # silence would put a click where sound is cut
    padded = np.pad(ear, (before, size), "symmetric")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: len(ear) // hop]
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    window *= 2 / window.sum()
    parts, step = [], _BLOCK // size
    for start in range(0, len(frames), step):
        spectrum = np.fft.rfft(frames[start : start + step] * window)
        squares = spectrum.real**2 + spectrum.imag**2
        parts.append(squares @ mel_bank() if power else np.sqrt(squares))
    return np.concatenate(parts)


@lru_cache(maxsize=1)
def mel_bank() -> Array:
    """Triangles of equal width on the mel scale (O'Shaughnessy), a matrix of bins by bands."""
    bins_hz = np.fft.rfftfreq(COARSE_SIZE, 1 / EAR_HZ)
    low, high = (float(2595 * np.log10(1 + hz / 700)) for hz in (_LOWEST_HZ, EAR_HZ / 2))
    edges = np.linspace(low, high, BANDS + 2)
    edges_hz = 700 * (10 ** (edges / 2595) - 1)
    rise = (bins_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    fall = (edges_hz[2:] - bins_hz[:, None]) / np.diff(edges_hz)[1:]
    bank: Array = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
    return bank
