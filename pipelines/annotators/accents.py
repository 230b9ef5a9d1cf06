"""Beats and downbeats as madmom's networks detect them, many clips at once."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import torch

from pipelines.annotators import madmom
from pipelines.annotators.bar_net import FLUX_EDGES_HZ, Accents
from pipelines.annotators.blstm import StackedBlstm
from pipelines.annotators.harmony import Floats
from pipelines.annotators.spectrogram import DownbeatSpectrogram
from pipelines.audio.decode import Wave

# the middle window, 46 ms: it separates bass from what lies above and is sharp in time
_RESOLUTION: Final = 1


class AccentEar:
    """Spectrogram and networks on one device."""

    def __init__(self, device: str = "cpu") -> None:
        torch.set_num_threads(1)  # one thread per worker: the same bits on any number of cores
        self.spectrogram = DownbeatSpectrogram(madmom.front_end()).to(device)
        self.bands = np.searchsorted(FLUX_EDGES_HZ, self.spectrogram.centres_hz[_RESOLUTION])
        self.networks = StackedBlstm(madmom.networks()).to(device)

    def __call__(self, waves: Sequence[Wave]) -> list[Accents]:
        """Accents of each mono wave at 44.1 kHz."""
        features = self.spectrogram(waves)
        probabilities = self.networks(features)
        first = sum(
            2 * len(centres) for centres in self.spectrogram.centres_hz[:_RESOLUTION]
        ) + len(self.bands)
        rises = [clip[:, first : first + len(self.bands)].cpu().numpy() for clip in features]
        return [
            Accents(probability[:, 1:], self._banded(rise))
            for probability, rise in zip(probabilities, rises, strict=True)
        ]

    def _banded(self, rise: Floats) -> Floats:
        flux: Floats = np.stack(
            [rise[:, self.bands == band].mean(axis=1) for band in range(len(FLUX_EDGES_HZ) + 1)],
            axis=1,
        )
        return flux


@lru_cache(maxsize=1)
def accent_ear(device: str) -> AccentEar:
    """The one network of this process."""
    return AccentEar(device)
