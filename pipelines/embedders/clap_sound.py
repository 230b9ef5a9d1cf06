"""CLAP's input: windows of a clip as log-mel spectrograms, many at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch

from pipelines.audio.decode import Wave

_LEAST_OF_A_WINDOW: Final = 0.05  # what is left at the end and shorter adds nothing of its own
_FLOOR: Final = 1e-10  # of the power in a band, as in transformers' extractor


def windows(wave: Wave, samples: int) -> list[Wave]:
    """A clip in windows of `samples`: side by side, the last against the end.

    A shorter clip is repeated and padded, as in training.

    >>> [window.tolist() for window in windows(np.arange(5, dtype=np.float32), 2)]
    [[0.0, 1.0], [2.0, 3.0], [3.0, 4.0]]
    >>> windows(np.array([1, 2], np.float32), 5)[0].tolist()
    [1.0, 2.0, 1.0, 2.0, 0.0]
    """
    if len(wave) < samples:
        repeated = np.tile(wave, samples // max(1, len(wave)))
        return [np.pad(repeated, (0, samples - len(repeated)))]
    return [wave[start : start + samples] for start in _starts(len(wave), samples)]


def _starts(length: int, samples: int) -> Iterator[int]:
    yield from range(0, length - samples + 1, samples)
    if length % samples > _LEAST_OF_A_WINDOW * samples:
        yield length - samples


class ClapSound:
    """Log-mel spectrograms as a model's own extractor makes them (within 1e-4 dB), in batches.

    Whatever is longer than a window is cut beforehand, so nothing is truncated at random and fusion
    has nothing to fuse.
    """

    def __init__(
        self,
        filters_KF: Wave,
        window: int,
        hop: int,
        samples: int,
        channels: int,
        device: torch.device,
    ) -> None:
        self.samples = samples
        self._filters_KF = torch.from_numpy(filters_KF).to(device)  # K frequency bins, F mel bands
        self._window = torch.hann_window(window, device=device)
        self._hop, self._channels = hop, channels

    @classmethod
    def of(cls, folder: Path, device: torch.device) -> "ClapSound":
        """The spectrograms that the model in a folder was trained on."""
        from transformers import ClapFeatureExtractor

        extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        fuses = extractor.truncation == "fusion"
        filters = extractor.mel_filters if fuses else extractor.mel_filters_slaney
        return cls(
            np.asarray(filters, np.float32),
            extractor.fft_window_size,
            extractor.hop_length,
            extractor.nb_max_samples,
            4 if fuses else 1,
            device,
        )

    def features(self, waves_BT: torch.Tensor) -> torch.Tensor:
        """Levels in dB of windows (B, T samples), as (B, C, T frames, F mel bands); C is 4 where
        the model fuses, all alike.
        """
        spectrum = torch.stft(
            waves_BT,
            len(self._window),
            self._hop,
            window=self._window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        # without the root that abs() takes
        power_BTK = torch.view_as_real(spectrum).square().sum(dim=-1).transpose(1, 2)
        level_BTF = 10 * torch.log10((power_BTK @ self._filters_KF).clamp(min=_FLOOR))
        return level_BTF[:, None].expand(-1, self._channels, -1, -1)
