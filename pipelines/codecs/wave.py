"""A codec of one's own that plays waves: an autoencoder that was trained on one's own shards, mono
or stereo, with a normal distribution or residual codebooks in its middle.

`obbligato train codec --kind wave` makes one; `wave_net.py` is its network.

Shapes: B clips, A channels of the wave, S samples, C latent channels, T latent frames, L codebooks.
"""

from functools import cached_property
from typing import Final

import torch

from pipelines.codecs import CodecFacts
from pipelines.codecs.layout import by_channel, whole_frames, without_bands
from pipelines.codecs.residual_codes import ResidualCodebooks
from pipelines.codecs.wave_net import WaveNet
from pipelines.codecs.wave_shape import WaveConfig, WaveShape
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import weights_hash
from pipelines.pretrained.own_weights import OwnPart

FOLDER: Final = "wave"  # within the source
_PART: Final = OwnPart(
    what="wave codec",
    folder=FOLDER,
    command="train codec --kind wave",
    config=WaveConfig,
    net=lambda config: WaveNet(config.net, config.bottleneck),
)


class WaveCodec:
    """What the encoder gives, before any rounding, of zero mean and unit variance on the music that
    it learned from. Runs on the device of its weights.
    """

    def __init__(self, net: WaveNet) -> None:
        self._net = net.requires_grad_(False)

    @cached_property
    def facts(self) -> CodecFacts:
        """Rate, channels and frames as the network was shaped; the version is a hash of all its
        weights.
        """
        return wave_facts(self._net.shape, weights_hash(self._net))

    @torch.no_grad()
    def encode(self, waves: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, 1)."""
        net = self._net
        latents_BCT = net.latents(whole_frames(by_channel(waves.float()), self.facts))
        return ((latents_BCT - net.middle_C1) / net.size_C1)[..., None]

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Waves, rounded to codebooks where there are any.

        Raises `PipelineError` for latents of another shape.
        """
        return self._as_codec(self._net.waves(self._as_learned(latents_BCTF)))

    @property
    def books(self) -> int:
        """Codebooks; 0 where its latents are drawn from a normal distribution."""
        return 0 if self._net.books is None else len(self._net.books.books)

    @property
    def entries(self) -> int:
        """Entries of each codebook."""
        return self._books().entries

    def codes(self, waves: torch.Tensor) -> torch.Tensor:
        """Numbers of codebook entries, (B, L, T), the coarse codebook first.

        Raises `PipelineError` where there are no codebooks.
        """
        return self.codes_of(self.encode(waves))

    @torch.no_grad()
    def codes_of(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """What `decode` rounds latents to: (B, L, T).

        Raises `PipelineError` where there are no codebooks, or latents have another shape.
        """
        found: torch.Tensor = self._books()(self._as_learned(latents_BCTF)).codes_BLT
        return found

    def decode_codes(self, codes_BLT: torch.Tensor) -> torch.Tensor:
        """Waves of codes: of all codebooks, or of the first that there are.

        Raises `PipelineError` where there are no codebooks.
        """
        made: torch.Tensor = self._net.decoder(self._books().of_codes(codes_BLT))
        return self._as_codec(made)

    def _books(self) -> ResidualCodebooks:
        if self._net.books is None:
            raise PipelineError(
                "this wave codec has no codebooks: train one with --set bottleneck.kind=rvq"
            )
        return self._net.books

    def _as_learned(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T) as the net has them, of whatever mean and variance."""
        latents_BCT = without_bands(latents_BCTF, self._net.shape.latent_channels)
        return latents_BCT * self._net.size_C1 + self._net.middle_C1

    def _as_codec(self, waves_BAS: torch.Tensor) -> torch.Tensor:
        """Waves (B, S) or (B, 2, S), within [-1, 1]."""
        waves = waves_BAS[:, 0] if self._net.shape.wave_channels == 1 else waves_BAS
        return waves.clamp(-1.0, 1.0)


def wave_facts(shape: WaveShape, version: str = "") -> CodecFacts:
    """Facts of a codec of a shape; while it is trained, it has no weights yet to name."""
    return CodecFacts(
        name="wave",
        version=version,
        licence="own",  # of whoever trained it, on whatever licences its corpora have
        rate_hz=shape.rate_hz,
        channels=shape.latent_channels,
        bands=1,
        samples_per_frame=shape.hop,
        wave_channels=shape.wave_channels,
    )


def open_codec(source: str = "", device: str = "cpu") -> WaveCodec:
    """The codec by the folder that its training wrote.

    Raises `PipelineError` where it cannot be read.
    """
    if not source:
        raise PipelineError(
            "the wave codec is one of your own: name the folder of its weights; `obbligato train "
            "codec --kind wave` makes one"
        )
    return WaveCodec(_PART.opened(source, device).net)
