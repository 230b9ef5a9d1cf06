"""AudioLDM's codec: a log-mel spectrogram, its autoencoder, and the HiFi-GAN that plays what the
autoencoder gives back.

H. Liu et al., "AudioLDM", 2023 (arXiv 2301.12503). TANGO and Mustango learn these latents: 8 × 256
× 16 for 10.24 s.

Shapes: B clips, S samples, N mel frames, M mel bands, C latent channels, T latent frames, F latent
bands.
"""

from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from transformers.audio_utils import mel_filter_bank

from pipelines.codecs import CodecFacts
from pipelines.codecs.layout import whole_frames
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import STORED, first_line, weights_hash
from pipelines.pretrained.hub import pinned
from schemas.codec import WaveLevel

if TYPE_CHECKING:
    from transformers import SpeechT5HifiGan

DEFAULT_SOURCE: Final = "cvssp/audioldm-s-full-v2"
LICENCE: Final = "CC-BY-NC-SA-4.0"  # of the published weights
_WINDOW: Final = 1024  # of the published spectrogram, as is the floor
_FLOOR: Final = 1e-5
# Of our code: raised when latents change. 2: waves are levelled as the published reader does.
_VERSION: Final = 2
_PEAK: Final = 0.5  # of each clip, in the published reader, as is what keeps silence finite
_LEAST_PEAK: Final = 1e-8


class AudioLdmCodec:
    """The autoencoder's latents, scaled to unit variance by its own factor.

    Runs on the device of its weights.
    """

    def __init__(self, autoencoder: Any, vocoder: "SpeechT5HifiGan") -> None:
        # both loaded in eval mode
        self._autoencoder, self._vocoder = (
            autoencoder.requires_grad_(False),
            vocoder.requires_grad_(False),
        )
        # each level but one halves frames and bands
        self._halved = 2 ** (len(autoencoder.config.block_out_channels) - 1)
        self._hop = prod(vocoder.config.upsample_rates)

    @cached_property
    def facts(self) -> CodecFacts:
        """As published: 16 kHz; 8 channels × 16 bands at 25 frames a second.

        The version is that of our code, a hash of the autoencoder's weights, and its factor.
        """
        shape, voice = self._autoencoder.config, self._vocoder.config
        return CodecFacts(
            name="audioldm",
            version=f"{_VERSION}+{weights_hash(self._autoencoder)}x{shape.scaling_factor:.6g}",
            licence=LICENCE,
            rate_hz=voice.sampling_rate,
            channels=shape.latent_channels,
            bands=voice.model_in_dim // self._halved,
            samples_per_frame=self._hop * self._halved,
            level=WaveLevel.MEAN_OFF_PEAK_HALF,
        )

    @torch.no_grad()
    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, F): the middle of what the autoencoder holds likely.

        Each wave is brought to the level of `facts` first, so how loud it was is not kept.
        """
        mel_BMN = self.spectrogram(whole_frames(peak_half(waves_BS.float()), self.facts))
        held = self._autoencoder.encode(mel_BMN.transpose(1, 2)[:, None]).latent_dist.mode()
        return cast(torch.Tensor, held * self._autoencoder.config.scaling_factor)

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Waves (B, S)."""
        mel_B1NM = self._autoencoder.decode(
            latents_BCTF / self._autoencoder.config.scaling_factor
        ).sample
        waves: torch.Tensor = self._vocoder(mel_B1NM[:, 0])
        # the published vocoder plays a little longer than its frames
        samples = latents_BCTF.shape[2] * self.facts.samples_per_frame
        return waves.reshape(len(latents_BCTF), -1)[:, :samples].clamp(-1.0, 1.0)

    def spectrogram(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Natural logarithms of mel magnitudes, one frame per hop: (B, M, N)."""
        window = torch.hann_window(_WINDOW, device=waves_BS.device)
        spectrum_BKN = torch.stft(
            waves_BS,
            _WINDOW,
            self._hop,
            window=window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        mel_BMN = self._filters.to(waves_BS.device) @ spectrum_BKN[..., :-1].abs()
        return mel_BMN.clamp(min=_FLOOR).log()

    @cached_property
    def _filters(self) -> torch.Tensor:
        rate_hz, bands = self._vocoder.config.sampling_rate, self._vocoder.config.model_in_dim
        bank_KM = mel_filter_bank(
            _WINDOW // 2 + 1, bands, 0.0, rate_hz / 2, rate_hz, norm="slaney", mel_scale="slaney"
        )
        return torch.from_numpy(bank_KM.T.copy()).float()


def peak_half(waves_BS: torch.Tensor) -> torch.Tensor:
    """Each wave with its mean taken off and a peak of 0.5; silence stays silence.

    `normalize_wav` of the readers published with AudioLDM and TANGO.

    >>> peak_half(torch.tensor([[0.25, 0.75], [0.0, 0.0]])).round(decimals=4).tolist()
    [[-0.5, 0.5], [0.0, 0.0]]
    """
    centred_BS = waves_BS - waves_BS.mean(dim=1, keepdim=True)
    peak_B1 = centred_BS.abs().amax(dim=1, keepdim=True)
    return centred_BS / (peak_B1 + _LEAST_PEAK) * _PEAK


def open_codec(source: str = "", device: str = "cpu") -> AudioLdmCodec:
    """The codec by its id on the hub, or by a folder that has `vae` and `vocoder` in it.

    Raises `PipelineError` where they cannot be read.
    """
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan

    source = source or DEFAULT_SOURCE
    name, revision = pinned(source)
    held: dict[str, Any] = {"revision": revision, "use_safetensors": True}  # pickles can hold code
    try:
        autoencoder = AutoencoderKL.from_pretrained(
            name, subfolder="vae", low_cpu_mem_usage=False, **held
        )
        vocoder = SpeechT5HifiGan.from_pretrained(name, subfolder="vocoder", **held)
    except Exception as error:
        # configurations and weights of others bring libraries to raise anything
        expected = (
            "expected an id on the Hugging Face hub, "
            f"or a folder with vae/ and vocoder/ in it, with {STORED}"
        )
        raise PipelineError(
            f"no AudioLDM codec at {source!r}: {expected} ({first_line(error)})"
        ) from error
    autoencoder.to(device)
    torch.nn.Module.to(vocoder, device)
    return AudioLdmCodec(autoencoder, vocoder)
