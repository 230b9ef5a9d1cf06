"""A codec of one's own: the spectrogram of `mel`, and an autoencoder that was trained on one's own
shards to keep what matters of it.

`training/codec/autoencoder.py` trains it. It is played back as `mel` is, by Griffin-Lim or a
vocoder of one's own, so it needs nothing from anybody else.

Shapes: B clips, S samples, N mel frames, M mel bands, C latent channels, T latent frames, F latent
bands.
"""

from functools import cached_property
from typing import Any, Final, cast

import torch

from pipelines.codecs import CodecFacts
from pipelines.codecs.mel import BANDS, HOP, RATE_HZ, MelCodec, Play
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import first_line, weights_hash

FOLDER: Final = "vae"  # within the source, as AudioLDM's folders have it


class VaeCodec:
    """The autoencoder's latents, scaled to unit variance by its own factor.

    Runs on the device of its weights.
    """

    def __init__(self, autoencoder: Any, mel: MelCodec | None = None) -> None:
        self._autoencoder, self._mel = autoencoder.requires_grad_(False), mel or MelCodec()
        # each level but one halves frames and bands
        self._halved = 2 ** (len(autoencoder.config.block_out_channels) - 1)

    def played_by(self, vocoder: Play) -> "VaeCodec":
        """The same latents, played by a vocoder."""
        return VaeCodec(self._autoencoder, self._mel.played_by(vocoder))

    @cached_property
    def facts(self) -> CodecFacts:
        """16 kHz, as `mel`; channels and frames as the autoencoder was shaped.

        The version is a hash of its weights, and its factor.
        """
        shape = self._autoencoder.config
        return CodecFacts(
            name="vae",
            version=f"{weights_hash(self._autoencoder)}x{shape.scaling_factor:.6g}",
            licence="own",  # of whoever trained it, on whatever licences its corpora have
            rate_hz=RATE_HZ,
            channels=shape.latent_channels,
            bands=BANDS // self._halved,
            samples_per_frame=HOP * self._halved,
        )

    @torch.no_grad()
    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, F): the middle of what the autoencoder holds likely."""
        frames = self.facts.frames(waves_BS.shape[1])
        whole_BS = torch.nn.functional.pad(
            waves_BS, (0, max(0, frames * self.facts.samples_per_frame - waves_BS.shape[1]))
        )
        levels_BMN = self._mel.levels(whole_BS)[..., : frames * self._halved]
        held = self._autoencoder.encode(levels_BMN.transpose(1, 2)[:, None]).latent_dist.mode()
        return cast(torch.Tensor, held * self._autoencoder.config.scaling_factor)

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Waves (B, S)."""
        return self._mel.played(self.levels_of(latents_BCTF.float()))

    def levels_of(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """The spectrogram of `mel` that latents stand for: (B, M, N)."""
        levels_B1NM: torch.Tensor = self._autoencoder.decode(
            latents_BCTF / self._autoencoder.config.scaling_factor
        ).sample
        return levels_B1NM[:, 0].transpose(1, 2)


def open_codec(source: str = "", device: str = "cpu") -> VaeCodec:
    """The codec by the folder that its training wrote.

    Raises `PipelineError` where it cannot be read.
    """
    from diffusers import AutoencoderKL

    if not source:
        raise PipelineError(
            "the vae codec is one of your own: name the folder of its weights; `obbligato train "
            "codec` makes one"
        )
    try:
        autoencoder = AutoencoderKL.from_pretrained(
            source, subfolder=FOLDER, low_cpu_mem_usage=False, use_safetensors=True
        )
    except (
        Exception
    ) as error:  # configurations and weights of others bring libraries to raise anything
        expected = "expected a folder with vae/ in it, as `obbligato train codec` writes it"
        raise PipelineError(
            f"no autoencoder at {source!r}: {expected} ({first_line(error)})"
        ) from error
    return VaeCodec(autoencoder.to(device))
