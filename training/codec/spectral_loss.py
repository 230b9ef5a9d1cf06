"""How far apart two sounds are, by their spectra in windows of many lengths.

Long windows tell pitches apart, short ones onsets (R. Yamamoto et al., 2020, arXiv 1910.11480). Of
each window two distances: of levels in mel bands, in which low pitches count as much as high ones;
and of magnitudes, relative to what is there, in which loud partials count.

Shapes: B clips, A channels, S samples, K bins, N frames, M mel bands.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

_BANDS: Final = 16  # samples of a window to one mel band
_OVERLAP: Final = 4
# magnitudes are those of a wave of root mean square 1; below this, 60 dB down, nothing is compared
_FLOOR: Final = 1e-3
_QUIET: Final = 0.05  # magnitude below which a clip counts the less, the quieter it is


class SpectralLoss(nn.Module):
    """Distance of spectra over several windows; of two channels, of their sum and difference."""

    def __init__(self, windows: Sequence[int], rate_hz: int) -> None:
        super().__init__()
        self._windows = tuple(windows)
        for window in windows:
            taper = torch.hann_window(window)
            self.register_buffer(f"taper_{window}", taper, persistent=False)
            self.register_buffer(
                f"bands_{window}", mel_bands(window, rate_hz, window // _BANDS), persistent=False
            )

    def forward(self, heard_BAS: torch.Tensor, played_BAS: torch.Tensor) -> torch.Tensor:
        """Mean over windows and channels of both distances' sums: (B,)."""
        heard_BAS, played_BAS = sum_and_difference(heard_BAS), sum_and_difference(played_BAS)
        apart = [self._apart(heard_BAS, played_BAS, window) for window in self._windows]
        return torch.stack(apart).mean(0)

    def _apart(
        self, heard_BAS: torch.Tensor, played_BAS: torch.Tensor, window: int
    ) -> torch.Tensor:
        taper: torch.Tensor = getattr(self, f"taper_{window}")
        bands_MK: torch.Tensor = getattr(self, f"bands_{window}")
        heard_BAKN, played_BAKN = (
            magnitudes(waves_BAS, taper) for waves_BAS in (heard_BAS, played_BAS)
        )
        levels = [
            (bands_MK @ one_BAKN).clamp(min=_FLOOR).log() for one_BAKN in (heard_BAKN, played_BAKN)
        ]
        by_level_B = (levels[0] - levels[1]).abs().mean(dim=(1, 2, 3))
        apart_BA = root_mean_square(heard_BAKN - played_BAKN)
        by_magnitude_B = (apart_BA / (root_mean_square(heard_BAKN) + _QUIET)).mean(1)
        return by_level_B + by_magnitude_B


def sum_and_difference(waves_BAS: torch.Tensor) -> torch.Tensor:
    """Middle and side of two channels; one stays as it is.

    >>> sum_and_difference(torch.tensor([[[1.0], [0.5]]])).flatten().tolist()
    [0.75, 0.25]
    """
    if waves_BAS.shape[1] == 1:
        return waves_BAS
    left_BS, right_BS = waves_BAS.unbind(1)
    return torch.stack([left_BS + right_BS, left_BS - right_BS], dim=1) / 2


def spectra(waves_BAS: torch.Tensor, taper: torch.Tensor) -> torch.Tensor:
    """Complex spectra (B, A, K, N), four windows over each sample; scaled so that noise of root
    mean square 1 has about that in each bin.
    """
    batch, channels, samples = waves_BAS.shape
    found_CKN = torch.stft(
        waves_BAS.reshape(-1, samples),
        len(taper),
        len(taper) // _OVERLAP,
        window=taper,
        return_complex=True,
    )
    return (found_CKN / taper.square().sum().sqrt()).reshape(batch, channels, *found_CKN.shape[1:])


def magnitudes(waves_BAS: torch.Tensor, taper: torch.Tensor) -> torch.Tensor:
    """Of spectra: (B, A, K, N)."""
    parts_BAKN2 = torch.view_as_real(spectra(waves_BAS, taper))
    # a root's gradient has no bound at zero
    return (parts_BAKN2.square().sum(-1) + 1e-10).sqrt()


def root_mean_square(values_BAKN: torch.Tensor) -> torch.Tensor:
    """Over bins and frames: (B, A)."""
    return (values_BAKN.square().mean(dim=(2, 3)) + 1e-10).sqrt()


def mel_bands(window: int, rate_hz: int, bands: int) -> torch.Tensor:
    """Bands from bins, (M, K): triangles on HTK's scale, each a mean of what it spans."""
    nyquist_hz = rate_hz / 2
    top_mel = 2595.0 * torch.log10(torch.tensor(1.0 + nyquist_hz / 700.0))
    corners_hz = 700.0 * (10 ** (torch.linspace(0, 1, bands + 2) * top_mel / 2595.0) - 1)
    bins_hz = torch.linspace(0, nyquist_hz, window // 2 + 1)
    # a band is never narrower than two bins, so that none is empty
    widths_hz = corners_hz.diff().clamp(min=2 * rate_hz / window)
    rising_MK = 1 - (corners_hz[1:-1, None] - bins_hz) / widths_hz[:-1, None]
    falling_MK = 1 - (bins_hz - corners_hz[1:-1, None]) / widths_hz[1:, None]
    bands_MK = torch.minimum(rising_MK, falling_MK).clamp(min=0.0)
    return bands_MK / bands_MK.sum(1, keepdim=True)
