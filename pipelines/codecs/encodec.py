"""EnCodec: a convolutional autoencoder with residual codebooks, as transformers has it.

A. Défossez et al., "High Fidelity Neural Audio Compression", 2022 (arXiv 2210.13438). The default
weights are those of MusicGen, trained on music: 128 channels at 50 frames a second, 32 kHz.

Shapes: B clips, C latent channels, T latent frames, L codebooks, N entries of a codebook.
"""

from typing import TYPE_CHECKING, Any, Final

import torch

from pipelines.codecs.quantised import QuantisedCodec, Spread, loaded, straight_through
from pipelines.errors import PipelineError

if TYPE_CHECKING:
    from transformers import EncodecModel

DEFAULT_SOURCE: Final = "facebook/encodec_32khz"
LICENCE: Final = "CC-BY-NC-4.0"  # of the published weights


class EncodecCodec(QuantisedCodec):
    """The encoder's output.

    Rounding compares distances in it, so one scale holds for all channels.
    """

    name, licence = "encodec", LICENCE

    def __init__(self, model: "EncodecModel") -> None:
        """Raises `PipelineError` for a model whose latents do not tell all of the sound: stereo,
        normalised, or in chunks.
        """
        config: Any = model.config
        if config.audio_channels != 1:
            raise PipelineError(
                f"this encodec model has {config.audio_channels} "
                "channels: only mono ones can be used"
            )
        if config.normalize or config.chunk_length_s is not None:
            raise PipelineError(
                "this encodec model keeps the loudness of each chunk "
                "beside its codes: only ones without can be used"
            )
        super().__init__(model)

    def _codebook_spread(self) -> Spread:
        """Of a sum of one entry of each codebook, each drawn as often as it was in training."""
        books = [layer.codebook for layer in self._model.quantizer.layers]
        mean_C = variance_C = torch.zeros_like(books[0].embed[0])
        for book in books:
            share_N1 = _shares(book.cluster_size)[:, None]
            middle_C = (share_N1 * book.embed).sum(0)
            mean_C = mean_C + middle_C
            variance_C = variance_C + (share_N1 * (book.embed - middle_C).square()).sum(0)
        return Spread(mean_C[:, None], variance_C.mean().sqrt().expand_as(mean_C)[:, None])

    def _before_rounding(self, encoded_BDT: torch.Tensor) -> torch.Tensor:
        return encoded_BDT

    def _rounded(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        return straight_through(self._of_codes(self._codes(latents_BCT)), latents_BCT)

    @property
    def books(self) -> int:
        """Codebooks of the highest bandwidth: all."""
        return len(self._model.quantizer.layers)

    def _codes(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        # the highest: all codebooks
        bandwidth = self._model.config.target_bandwidths[-1]
        codes_LBT: torch.Tensor = self._model.quantizer.encode(latents_BCT, bandwidth)
        return codes_LBT.transpose(0, 1)

    def _of_codes(self, codes_BLT: torch.Tensor) -> torch.Tensor:
        rounded_BDT: torch.Tensor = self._model.quantizer.decode(codes_BLT.transpose(0, 1))
        return rounded_BDT


def _shares(counts_N: torch.Tensor) -> torch.Tensor:
    """How often each entry of a codebook was used in training; all alike where none tell.

    >>> _shares(torch.tensor([3.0, 1.0])).tolist(), _shares(torch.zeros(2)).tolist()
    ([0.75, 0.25], [0.5, 0.5])
    """
    counted = counts_N if bool(counts_N.sum() > 0) else torch.ones_like(counts_N)
    return counted / counted.sum()


def open_codec(source: str = "", device: str = "cpu") -> EncodecCodec:
    """The codec by its id on the hub, or by a folder.

    Raises `PipelineError` where it cannot be read or is not mono.
    """
    from transformers import EncodecModel

    model = loaded(EncodecModel, source or DEFAULT_SOURCE)
    torch.nn.Module.to(model, device)
    return EncodecCodec(model)
