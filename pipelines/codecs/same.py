"""SAME, the autoencoder of Stable Audio 3: patches of a stereo wave through transformers, as
diffusers has it.

"Stable Audio 3", 2026 (arXiv 2605.17991): 256 channels at 10.8 frames a second, 44.1 kHz. Its
latents are divided by the spread that they had in training.
"""

from typing import Final, cast

import torch

from pipelines.codecs.published_waves import LatentShape, WaveAutoencoder, loaded

DEFAULT_SOURCE: Final = "stabilityai/SAME-S"
_COMMUNITY: Final = "Stability AI Community License"
LICENCES: Final = {DEFAULT_SOURCE: _COMMUNITY, "stabilityai/SAME-L": _COMMUNITY}  # of the weights


class SameCodec(WaveAutoencoder):
    """What the encoder gives."""

    name = "same"

    @property
    def _shape(self) -> LatentShape:
        return LatentShape(self._model.config.latent_dim, self._model.downsampling_ratio)

    def _latents(self, waves_BAS: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._model.encode(waves_BAS).latents)

    def _waves(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._model.decode(latents_BCT).sample)


def open_codec(source: str = "", device: str = "cpu") -> SameCodec:
    """The codec by its id on the hub, or by a folder.

    Raises `PipelineError` where it cannot be read.
    """
    from diffusers import AutoencoderSAME

    return SameCodec(*loaded(AutoencoderSAME, source or DEFAULT_SOURCE, device, LICENCES))
