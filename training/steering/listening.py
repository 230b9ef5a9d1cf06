"""What a latent sounds like, so that gradients pass, in the units of the controls in our shards.

Shapes: B samples, C latent channels, T latent frames, F latent bands, N frames at 10 Hz, P = 12
pitch classes.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch

from pipelines.codecs import Codec
from pipelines.codecs.layout import mono
from pipelines.codecs.mel import RATE_HZ, MelCodec
from schemas.controls import NO_PITCH
from training.steering.of_levels import (
    cepstra_of_levels,
    chroma_of_levels,
    onset_strength_of_levels,
    power_of_levels,
)
from training.steering.of_waves import (
    chroma_of_waves,
    mean_squares,
    onset_strength_of_waves,
    resampled_waves,
    smoothed_db,
)

_QUIET = 1e-3  # amplitude, -60 dB: no pitch is heard below


@runtime_checkable
class HasLevels(Protocol):
    """A codec whose latents are spectrograms of `mel`, or become them without a vocoder."""

    def levels_of(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """The spectrogram: (B, M, N)."""


class Ear:
    """Listens to latents of a codec.

    Where the codec has levels they are listened to, unless `played` asks for the wave, which takes
    longer and is what is heard. Figures of levels are near those of waves, and not equal.
    """

    def __init__(self, codec: Codec, *, played: bool = False) -> None:
        self.codec, self.played = codec, played

    def dynamics_db(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Level over time as `AudioControls.dynamics_db` has it: (B, N)."""
        return smoothed_db(self._either(latents_BCTF, power_of_levels, mean_squares))

    def chroma(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """How much of each pitch class sounds above middle C: (B, N, P)."""
        return self._either(latents_BCTF, chroma_of_levels, chroma_of_waves)

    def onset_strength(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """How much all bands rise, in dB: at 100 Hz from waves, 32 Hz from levels."""
        return self._either(latents_BCTF, onset_strength_of_levels, onset_strength_of_waves)

    def similarity(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """How alike each two moments sound, from -1 to 1: (B, N, N)."""
        cepstra = self._either(latents_BCTF, cepstra_of_levels, cepstra_of_waves)
        return similarity_of(cepstra)

    def _either(
        self,
        latents_BCTF: torch.Tensor,
        of_levels: Callable[[torch.Tensor], torch.Tensor],
        of_waves: Callable[[torch.Tensor, int], torch.Tensor],
    ) -> torch.Tensor:
        if isinstance(self.codec, HasLevels) and not self.played:
            return of_levels(self.codec.levels_of(latents_BCTF))
        return of_waves(mono(self.codec.decode(latents_BCTF)), self.codec.facts.rate_hz)


def cepstra_of_waves(waves_BS: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """Cepstral coefficients of waves at 10 Hz, but the first: (B, N, 12)."""
    return cepstra_of_levels(MelCodec().levels(resampled_waves(waves_BS, rate_hz, RATE_HZ)))


def similarity_of(cepstra_BNK: torch.Tensor) -> torch.Tensor:
    """Cosines between moments, (B, N, N), of coefficients brought to mean 0 and spread 1 over
    time (Novack et al. 2024).
    """
    centred = cepstra_BNK - cepstra_BNK.mean(1, keepdim=True)
    even = centred / (centred.square().mean(1, keepdim=True) + 1e-8).sqrt()
    unit = torch.nn.functional.normalize(even, dim=2)
    return unit @ unit.transpose(1, 2)


def melody_of(chroma_BNP: torch.Tensor) -> torch.Tensor:
    """The pitch class that sounds most in each frame, 12 where nothing does: (B, N)."""
    most, best = chroma_BNP.max(2)
    return torch.where(most > _QUIET, best, NO_PITCH)
