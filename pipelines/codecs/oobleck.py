"""Oobleck: the convolutional autoencoder of Stable Audio, of waves in stereo, as diffusers has it.

Z. Evans et al., "Stable Audio Open", 2024 (arXiv 2407.14358): 64 channels at 21.5 frames a second,
44.1 kHz. ACE-Step 1.5's (arXiv 2602.00744) is of the same class: 64 at 25, 48 kHz.
"""

from math import prod
from typing import Final, cast

import torch

from pipelines.codecs.published_waves import LatentShape, WaveAutoencoder, loaded

DEFAULT_SOURCE: Final = "stabilityai/stable-audio-open-1.0"
LICENCES: Final = {  # of the published weights
    DEFAULT_SOURCE: "Stability AI Community License",
    "stabilityai/stable-audio-open-small": "Stability AI Community License",
    "ACE-Step/acestep-v15-xl-turbo-diffusers": "MIT",
}


class OobleckCodec(WaveAutoencoder):
    """The middle of what the encoder holds likely."""

    name = "oobleck"

    @property
    def _shape(self) -> LatentShape:
        config = self._model.config
        return LatentShape(config.decoder_input_channels, prod(config.downsampling_ratios))

    def _latents(self, waves_BAS: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._model.encode(waves_BAS).latent_dist.mode())

    def _waves(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._model.decode(latents_BCT).sample)


def open_codec(source: str = "", device: str = "cpu") -> OobleckCodec:
    """The codec by its id on the hub, or by a folder.

    Raises `PipelineError` where it cannot be read.
    """
    from diffusers import AutoencoderOobleck

    return OobleckCodec(*loaded(AutoencoderOobleck, source or DEFAULT_SOURCE, device, LICENCES))
