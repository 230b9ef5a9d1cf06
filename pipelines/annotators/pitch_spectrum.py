"""Log-magnitude spectrum on a pitch axis, from two windows: input of the harmony network.

Shapes: B clips, S samples, T frames, P pitch bins, W samples of a window.
"""

from typing import Final

import numpy as np
import torch

from pipelines.annotators import RATE_HZ

HOP: Final = 4410  # ten frames a second: chords rarely last under half a second
FPS: Final = RATE_HZ / HOP
BINS_PER_SEMITONE: Final = 3
LOWEST_PITCH: Final = 24  # C1, MIDI
SEMITONES: Final = 84
PITCH_BINS: Final = BINS_PER_SEMITONE * SEMITONES
# samples; 372 ms separate the semitones of a bass, 93 ms separate chords in time
_LONG, _SHORT = (16_384, 4_096)
_CROSSING_PITCH: Final = 62.0  # where the two windows weigh the same
_CROSSING_WIDTH: Final = 2.0  # semitones
_GAIN: Final = 1000.0  # log1p is linear under -60 dB and logarithmic above


class PitchSpectrum(torch.nn.Module):
    """Frame t is centred on the middle of its hop, so a clip of S samples has S // HOP frames, at
    least one.
    """

    long_bank: torch.Tensor
    short_bank: torch.Tensor
    long_window: torch.Tensor
    short_window: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        pitches = torch.from_numpy(_bin_pitches().astype(np.float32))
        share_of_short = torch.sigmoid((pitches - _CROSSING_PITCH) / _CROSSING_WIDTH)
        self.register_buffer("long_bank", _bank(_LONG) * (1 - share_of_short), persistent=False)
        self.register_buffer("short_bank", _bank(_SHORT) * share_of_short, persistent=False)
        self.register_buffer("long_window", torch.hann_window(_LONG) * 4 / _LONG, persistent=False)
        self.register_buffer(
            "short_window", torch.hann_window(_SHORT) * 4 / _SHORT, persistent=False
        )

    def forward(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """(B, T, P) of waves at `RATE_HZ`."""
        both = self._part(waves_BS, self.long_window, self.long_bank) + self._part(
            waves_BS, self.short_window, self.short_bank
        )
        return torch.log1p(_GAIN * both)

    def _part(
        self, waves_BS: torch.Tensor, window_W: torch.Tensor, bank_FP: torch.Tensor
    ) -> torch.Tensor:
        size = len(window_W)
        frames = max(1, waves_BS.shape[1] // HOP)
        ended = torch.nn.functional.pad(waves_BS, (0, size + HOP))
        # a window shorter than a hop starts past the first sample
        padded = torch.nn.functional.pad(ended, (size // 2 - HOP // 2, 0))
        cut_BTW = padded.unfold(1, size, HOP)[:, :frames]
        magnitude_BTF = torch.fft.rfft(cut_BTW * window_W).abs()
        part: torch.Tensor = magnitude_BTF[..., : len(bank_FP)] @ bank_FP
        return part


def _bin_pitches() -> np.ndarray:
    """MIDI pitch at the middle of each bin; every third is a note of equal temperament."""
    return LOWEST_PITCH + (np.arange(PITCH_BINS) - (BINS_PER_SEMITONE - 1) / 2) / BINS_PER_SEMITONE


def _bank(window: int) -> torch.Tensor:
    """Triangles of a third of a semitone around each bin's pitch, at least two FFT bins wide, up to
    the highest FFT bin in use.
    """
    centre_hz = 440 * 2 ** ((_bin_pitches() - 69) / 12)
    width_hz = np.maximum(centre_hz * (2 ** (1 / (12 * BINS_PER_SEMITONE)) - 1), RATE_HZ / window)
    hz = np.arange(window // 2 + 1) * RATE_HZ / window
    bank_FP = np.clip(1 - np.abs(hz[:, None] - centre_hz) / width_hz, 0, None)
    top = int(np.flatnonzero(bank_FP.any(axis=1)).max()) + 1
    return torch.from_numpy(
        (bank_FP / np.maximum(bank_FP.sum(axis=0), 1e-9))[:top].astype(np.float32)
    )
