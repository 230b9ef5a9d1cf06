"""The input features of madmom's downbeat networks, as torch: logarithmic spectra of three
resolutions and how they rise.

S. Böck, F. Krebs and G. Widmer, "Joint beat and downbeat tracking with recurrent neural networks",
ISMIR 2016, section 2.1.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from pipelines.annotators import RATE_HZ
from pipelines.audio.decode import Wave

# samples between frames: the networks were trained at 100 frames a second
_HOP: Final = RATE_HZ // 100
# On a CPU 2 MiB of the longest windows: more leave the cache and take twice as long. Elsewhere 64
# MiB, for few and large steps.
_FRAMES_AT_ONCE: Final = {"cpu": 128, "cuda": 4096}
# neighbours share their few bins: a sixth of the work of the whole, mostly empty, filterbank
_BANDS_AT_ONCE: Final = 16


class DownbeatSpectrogram(torch.nn.Module):
    """The 314 features of each frame; windows, filterbanks and distances of the differences are
    madmom's own.

    `front_end` is madmom's, ``RNNDownBeatProcessor().processors[0]``.
    """

    def __init__(self, front_end: Any) -> None:
        super().__init__()
        # madmom makes windows and filterbanks at its first signal
        front_end(np.zeros(RATE_HZ, np.float32))
        resolutions = [_Resolution(branch) for branch in front_end.processors[1].processors]
        # of the bands: each gives a level, then each a rise
        self.centres_hz = [resolution.centres_hz for resolution in resolutions]
        self.resolutions = torch.nn.ModuleList(resolutions)

    @torch.inference_mode()
    def forward(self, waves: Sequence[Wave]) -> list[torch.Tensor]:
        """Features (frames, 314) of each mono wave at 44.1 kHz, on this module's device; frame t is
        centred on sample 441 t.

        Clips are done one by one, so that none's rounding depends on its batch.
        """
        return [self._bands(wave) for wave in waves]

    def _bands(self, wave: Wave) -> torch.Tensor:
        return torch.cat([resolution(wave) for resolution in self.resolutions], dim=1)


class _Resolution(torch.nn.Module):
    """One window size. Shapes: T frames, S samples of a window, K bins of the spectrum, M bands."""

    window_S: torch.Tensor
    bank_KM: torch.Tensor

    def __init__(self, branch: Any) -> None:
        super().__init__()
        _framed, stft, filtered, _log, difference = branch.processors
        bank_KM = np.asarray(filtered.filterbank, np.float32)
        _, audible = _nonzero_rows(bank_KM)  # nothing above 17 kHz
        self.register_buffer("window_S", torch.from_numpy(np.asarray(stft.fft_window, np.float32)))
        self.register_buffer("bank_KM", torch.from_numpy(bank_KM[:audible].copy()))
        self.centres_hz = np.asarray(filtered.filterbank.center_frequencies, np.float64)
        self.distance = int(difference.diff_frames)
        starts = range(0, bank_KM.shape[1], _BANDS_AT_ONCE)
        self._groups = [
            (
                slice(*_nonzero_rows(bank_KM[:, m : m + _BANDS_AT_ONCE])),
                slice(m, m + _BANDS_AT_ONCE),
            )
            for m in starts
        ]

    def forward(self, wave: Wave) -> torch.Tensor:
        size, bands = len(self.window_S), self.bank_KM.shape[1]
        frames = math.ceil(len(wave) / _HOP)
        padded = self.window_S.new_zeros(frames * _HOP + size)  # silence on both sides
        padded[size // 2 : size // 2 + len(wave)] = torch.from_numpy(
            np.ascontiguousarray(wave, np.float32)
        )
        out_TM = self.window_S.new_zeros(frames, 2 * bands)
        level_TM, rise_TM = out_TM[:, :bands], out_TM[:, bands:]
        at_once = _FRAMES_AT_ONCE.get(self.window_S.device.type, 128)
        for start in range(0, frames, at_once):
            x_TS = padded.as_strided((min(at_once, frames - start), size), (_HOP, 1), start * _HOP)
            level_TM[start : start + at_once] = self._levels(x_TS)
        rise_TM[self.distance :] = (level_TM[self.distance :] - level_TM[: -self.distance]).clamp_(
            min=0
        )
        return out_TM

    def _levels(self, x_TS: torch.Tensor) -> torch.Tensor:
        x_TK2 = torch.view_as_real(torch.fft.rfft(x_TS * self.window_S)[:, : len(self.bank_KM)])
        # abs() takes twice as long
        x_TK = x_TK2[..., 0].square().addcmul_(x_TK2[..., 1], x_TK2[..., 1]).sqrt_()
        return (
            torch.cat(
                [x_TK[:, bins] @ self.bank_KM[bins, bands] for bins, bands in self._groups], dim=1
            )
            .add_(1)
            .log10_()
        )


def _nonzero_rows(bank_KM: npt.NDArray[np.float32]) -> tuple[int, int]:
    """The range of bins that any of the bands weighs."""
    bins = np.flatnonzero(bank_KM.any(axis=1))
    return int(bins[0]), int(bins[-1]) + 1
