"""DAC, the Descript Audio Codec: a convolutional autoencoder with residual codebooks of few
dimensions, as transformers has it.

R. Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN", 2023 (arXiv 2306.06546).

Each codebook looks at the encoder's output through a projection into 8 dimensions of its own. What
is outside of all of them never reaches the decoder, and no codebook tells its scale. So the latents
are these projections of the encoder's output, side by side: 96 channels at 16 kHz instead of 1024,
and rounded they give the codes, and the sound, of the published codec.

Shapes: B clips, C = books × 8 latent channels, D channels of the encoder, T latent frames, N
entries of a codebook, K = 8 dimensions, L codebooks.
"""

from typing import TYPE_CHECKING, Final

import torch
from torch.nn.functional import conv1d

from pipelines.codecs.quantised import QuantisedCodec, Spread, loaded, straight_through

if TYPE_CHECKING:
    from transformers import DacModel

# shards have 16 kHz by default; descript/dac_44khz is there too
DEFAULT_SOURCE: Final = "descript/dac_16khz"
LICENCE: Final = "MIT"  # of the published weights


class DacCodec(QuantisedCodec):
    """The encoder's output as the codebooks see it.

    Each has a unit of its own, so each channel has its own scale.
    """

    name, licence = "dac", LICENCE

    def __init__(self, model: "DacModel") -> None:
        super().__init__(model)

    def _codebook_spread(self) -> Spread:
        """Of an entry of the channel's own codebook, and of what entries of the earlier ones look
        like in it.
        """
        books = self._model.quantizer.quantizers
        means, variances = [], []
        for index, book in enumerate(books):
            mean_K, variance_K = (
                book.codebook.weight.mean(0),
                book.codebook.weight.var(0, unbiased=False),
            )
            for earlier in books[:index]:
                seen_NK = (
                    earlier.out_proj(earlier.codebook.weight.T[None])[0].T
                    @ book.in_proj.weight[..., 0].T
                )
                mean_K, variance_K = (
                    mean_K + seen_NK.mean(0),
                    variance_K + seen_NK.var(0, unbiased=False),
                )
            means.append(mean_K)
            variances.append(variance_K)
        return Spread(torch.cat(means)[:, None], torch.cat(variances).sqrt()[:, None])

    def _before_rounding(self, encoded_BDT: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            [book.in_proj(encoded_BDT) for book in self._model.quantizer.quantizers], dim=1
        )

    def _rounded(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        return self._quantised(latents_BCT)[0]

    @property
    def books(self) -> int:
        """Codebooks."""
        return len(self._model.quantizer.quantizers)

    def _codes(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        return self._quantised(latents_BCT)[1]

    def _of_codes(self, codes_BLT: torch.Tensor) -> torch.Tensor:
        rounded_BDT: torch.Tensor = self._model.quantizer.from_codes(codes_BLT)[0]
        return rounded_BDT

    def _quantised(self, latents_BCT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the published quantiser does it: each codebook rounds what the earlier ones left.

        Sums of entries, (B, D, T), and their codes, (B, L, T).
        """
        books = self._model.quantizer.quantizers
        codes = []
        total_BDT = latents_BCT.new_zeros(
            len(latents_BCT), self._model.config.hidden_size, latents_BCT.shape[2]
        )
        for book, seen_BKT in zip(books, latents_BCT.chunk(len(books), dim=1), strict=True):
            # without the bias, which `seen_BKT` has already
            before_BKT = conv1d(total_BDT, book.in_proj.weight)
            left_BKT = seen_BKT - before_BKT
            nearest_BKT, codes_BT = book.decode_latents(left_BKT)
            total_BDT = total_BDT + book.out_proj(straight_through(nearest_BKT, left_BKT))
            codes.append(codes_BT)
        return total_BDT, torch.stack(codes, dim=1)


def open_codec(source: str = "", device: str = "cpu") -> DacCodec:
    """The codec by its id on the hub, or by a folder.

    Raises `PipelineError` where it cannot be read.
    """
    from transformers import DacModel

    model = loaded(DacModel, source or DEFAULT_SOURCE)
    torch.nn.Module.to(model, device)
    return DacCodec(model)
