"""A network that plays the spectrogram of `mel`: it takes a first guess of the wave, and says of
each bin of its short spectra what that is multiplied by and what is added.

The guess is Griffin-Lim's after few rounds, so that tones have their pitches and phases before
anything is learned; a fresh network leaves it as it is. Blocks are ConvNeXt's, at the rate of short
frames, and the wave comes back by an inverse transform, as in Vocos (H. Siuzdak, 2023,
arXiv 2306.00814): nothing is computed at the wave's own rate.

Shapes: B clips, S samples, M mel bands, N mel frames, K frequency bins, T short frames, W channels,
X = 2 × K parts of a complex number.
"""

from typing import Final

import torch
from torch import nn
from torch.nn.functional import gelu, interpolate

from pipelines.codecs.mel import SPECTROGRAM, MelCodec
from pipelines.codecs.vocoder_shape import VocoderShape

_TINY: Final = 1e-7
_POWER: Final = 0.3  # that a network is shown magnitudes in: quiet bins count as well


class ConvNextBlock(nn.Module):
    """Adds what a depthwise convolution of seven frames and two layers on each frame find."""

    def __init__(self, width: int, widening: int) -> None:
        super().__init__()
        self.along = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, widening * width)
        self.narrow = nn.Linear(widening * width, width)

    def forward(self, x_BWT: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        found_BTW = self.norm(self.along(x_BWT).transpose(1, 2))
        made_BTW: torch.Tensor = self.narrow(gelu(self.wide(found_BTW)))
        return x_BWT + made_BTW.transpose(1, 2)


class VocoderNet(nn.Module):
    """Levels of mel bands to waves."""

    taper: torch.Tensor
    bins_KM: torch.Tensor

    def __init__(self, shape: VocoderShape) -> None:
        super().__init__()
        self.shape, self._mel = shape, MelCodec()
        bins, bands = shape.window // 2 + 1, SPECTROGRAM.bands
        self.first = nn.Conv1d(bands + 3 * bins, shape.width, 7, padding=3)
        self.norm = nn.LayerNorm(shape.width)
        self.blocks = nn.Sequential(
            *(ConvNextBlock(shape.width, shape.widening) for _ in range(shape.depth))
        )
        self.last_norm = nn.LayerNorm(shape.width)
        self.last = nn.Linear(shape.width, 4 * bins)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.register_buffer("taper", torch.hann_window(shape.window), persistent=False)
        self.register_buffer("bins_KM", self._band_shares(bins), persistent=False)

    def _band_shares(self, bins: int) -> torch.Tensor:
        """How much of each band a short spectrum's bins have: the bands' own triangles."""
        filters_MK = self._mel.filters
        # numbers on whichever device the net is built: its weights may be shapes alone
        fine = torch.linspace(0, filters_MK.shape[1] - 1, bins, device="cpu").round().long()
        shares_KM = filters_MK[:, fine].T
        return shares_KM / shares_KM.sum(1, keepdim=True).clamp(min=_TINY)

    def forward(self, levels_BMN: torch.Tensor) -> torch.Tensor:
        """Waves (B, S), of as many samples as the frames are apart."""
        with torch.autocast(levels_BMN.device.type, enabled=False):  # levels want all digits
            levels_BMN = levels_BMN.float()
            guess_BS = self._mel.guessed(levels_BMN, self.shape.updates, self.shape.rounds)
            guess_BKT = self._short_spectra(guess_BS)
            levels_BMT = self._short_frames(levels_BMN)
            shown = self._shown(guess_BKT, levels_BMT)
            # what is added is measured by the band it lies in
            scale_BKT = self.bins_KM @ self._mel.amplitudes(levels_BMT)
        said_BXT = self._said(shown).float()
        by_BKT, plus_BKT = (
            torch.complex(*one_BXT.chunk(2, dim=1)) for one_BXT in said_BXT.chunk(2, dim=1)
        )
        made_BKT = guess_BKT * (1 + by_BKT) + scale_BKT * plus_BKT
        return self._wave(made_BKT, samples=guess_BS.shape[1])

    @property
    def _hop(self) -> int:
        return SPECTROGRAM.hop // self.shape.frames

    def _short_spectra(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Complex, of amplitude 1 for a sine of amplitude 1: (B, K, T)."""
        window = self.shape.window
        spectra_BKT = torch.stft(
            waves_BS,
            window,
            self._hop,
            window=self.taper,
            pad_mode="constant",
            return_complex=True,
        )
        return spectra_BKT * (2 / self.taper.sum())

    def _wave(self, spectra_BKT: torch.Tensor, samples: int) -> torch.Tensor:
        """What `_short_spectra` undid: (B, S)."""
        window = self.shape.window
        whole_BKT = spectra_BKT * (self.taper.sum() / 2)
        return torch.istft(whole_BKT, window, self._hop, window=self.taper, length=samples)

    def _short_frames(self, levels_BMN: torch.Tensor) -> torch.Tensor:
        """Levels where short frames lie, on lines between mel frames: (B, M, T)."""
        ended_BMN = torch.cat([levels_BMN, levels_BMN[..., -1:]], dim=2)
        frames = levels_BMN.shape[2] * self.shape.frames + 1
        return interpolate(ended_BMN, size=frames, mode="linear", align_corners=True)

    @staticmethod
    def _shown(guess_BKT: torch.Tensor, levels_BMT: torch.Tensor) -> torch.Tensor:
        """Levels of bands, and of a guess its levels and its complex numbers."""
        parts_BKT2 = torch.view_as_real(guess_BKT)
        size_BKT1 = (parts_BKT2.square().sum(-1, keepdim=True) + _TINY**2).sqrt()
        shown_BKT2 = parts_BKT2 * size_BKT1 ** (_POWER - 1)
        decibels_BKT = 20 * size_BKT1[..., 0].clamp(min=10 ** (SPECTROGRAM.floor_db / 20)).log10()
        of_guess_BKT = (decibels_BKT - SPECTROGRAM.centre_db) / SPECTROGRAM.spread_db
        return torch.cat(
            [levels_BMT, of_guess_BKT, shown_BKT2.transpose(2, 3).flatten(1, 2)], dim=1
        )

    def _said(self, shown: torch.Tensor) -> torch.Tensor:
        """What each bin is multiplied by, less 1, and what is added: twice (B, X, T)."""
        x_BWT = self.first(shown)
        x_BWT = self.blocks(self.norm(x_BWT.transpose(1, 2)).transpose(1, 2))
        said: torch.Tensor = self.last(self.last_norm(x_BWT.transpose(1, 2)))
        return said.transpose(1, 2)
