"""An autoencoder of waves, in the layout of DAC: strided convolutions, between them residual units
that look further and further, and Snake, which lets a net go on with what is periodic.

R. Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN", 2023 (arXiv 2306.06546);
Snake: L. Ziyin et al., 2020 (arXiv 2006.08195). With a normal distribution in place of codebooks it
is the autoencoder of Stable Audio (Z. Evans et al., 2024, arXiv 2402.04825).

Shapes: B clips, A channels of the wave, S samples, C latent channels, T latent frames, W channels
of a level.
"""

from typing import Any, Final, NamedTuple

import torch
from torch import nn
from torch.nn.functional import softplus

from pipelines.codecs.residual_codes import ResidualCodebooks
from pipelines.codecs.wave_shape import Bottleneck, RvqBottleneck, WaveShape

_LEAST_SPREAD: Final = 1e-4  # of a latent's distribution, so that its logarithm is finite


class _SnakeFunction(torch.autograd.Function):
    """x + sin²(αx) / α, with a gradient in closed form: half of autograd's time on a CPU."""

    @staticmethod
    def forward(ctx: Any, x_BWS: torch.Tensor, alpha_W1: torch.Tensor) -> torch.Tensor:
        made_BWS = torch.addcdiv(x_BWS, (alpha_W1 * x_BWS).sin_().square_(), alpha_W1)
        ctx.save_for_backward(x_BWS, alpha_W1, made_BWS)
        return made_BWS

    @staticmethod
    def backward(ctx: Any, gradient_BWS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x_BWS, alpha_W1, made_BWS = ctx.saved_tensors
        slope_BWS = (2 * alpha_W1 * x_BWS).sin_()  # of x alone
        # x sin(2αx) - sin²(αx) / α, of which the second is what was added
        by_alpha_BWS = torch.addcmul(x_BWS - made_BWS, x_BWS, slope_BWS).mul_(gradient_BWS)
        by_alpha_W1 = by_alpha_BWS.sum((0, 2))[:, None] / alpha_W1
        return torch.addcmul(gradient_BWS, gradient_BWS, slope_BWS), by_alpha_W1


class Snake(nn.Module):
    """x + sin²(αx) / α with a learned α of each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(width, 1))  # so that α is above zero

    def forward(self, x_BWS: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        made: torch.Tensor = _SnakeFunction.apply(x_BWS, self.log_alpha.exp())  # type: ignore[no-untyped-call]
        return made


class ResidualUnit(nn.Module):
    """Adds what a dilated convolution of seven taps finds."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.found = nn.Sequential(
            Snake(width),
            nn.Conv1d(width, width, 7, dilation=dilation, padding=3 * dilation),
            Snake(width),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x_BWS: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        found_BWS: torch.Tensor = self.found(x_BWS)
        return x_BWS + found_BWS


def _units(width: int) -> list[nn.Module]:
    return [ResidualUnit(width, dilation) for dilation in (1, 3, 9)]


def encoder_of(shape: WaveShape, outputs: int) -> nn.Sequential:
    """Waves (B, A, S) to (B, outputs, S / hop)."""
    widths = shape.encoder_widths
    layers: list[nn.Module] = [nn.Conv1d(shape.wave_channels, widths[0], 7, padding=3)]
    for stride, width, wider in zip(shape.strides, widths[:-1], widths[1:], strict=True):
        layers += [
            *_units(width),
            Snake(width),
            nn.Conv1d(width, wider, 2 * stride, stride, padding=-(-stride // 2)),
        ]
    return nn.Sequential(*layers, Snake(widths[-1]), nn.Conv1d(widths[-1], outputs, 3, padding=1))


def decoder_of(shape: WaveShape) -> nn.Sequential:
    """Latents (B, C, T) to waves (B, A, T × hop)."""
    widths = shape.decoder_widths
    layers: list[nn.Module] = [nn.Conv1d(shape.latent_channels, widths[-1], 7, padding=3)]
    for level in reversed(range(len(shape.strides))):
        stride = shape.strides[level]
        layers += [
            Snake(widths[level + 1]),
            nn.ConvTranspose1d(
                widths[level + 1],
                widths[level],
                2 * stride,
                stride,
                padding=-(-stride // 2),
                output_padding=stride % 2,
            ),
            *_units(widths[level]),
        ]
    last = nn.Conv1d(widths[0], shape.wave_channels, 7, padding=3, bias=False)
    return nn.Sequential(*layers, Snake(widths[0]), last)


class Posterior(NamedTuple):
    """What an encoder without codebooks holds likely: a normal distribution of each number."""

    mean_BCT: torch.Tensor
    spread_BCT: torch.Tensor

    def drawn(self, noise_BCT: torch.Tensor) -> torch.Tensor:
        """A draw, by standard normal noise."""
        return self.mean_BCT + self.spread_BCT * noise_BCT

    def divergence(self) -> torch.Tensor:
        """Of a clip, per number, from a standard normal distribution, in nats: (B,)."""
        variance = self.spread_BCT.square()
        apart = self.mean_BCT.square() + variance - variance.log() - 1
        return 0.5 * apart.mean(dim=(1, 2))


class WaveNet(nn.Module):
    """Encoder, codebooks if it has any, decoder; and mean and spread of its latents on music."""

    middle_C1: torch.Tensor
    size_C1: torch.Tensor

    def __init__(self, shape: WaveShape, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.latent_channels
        self.books: ResidualCodebooks | None = None
        if isinstance(bottleneck, RvqBottleneck):
            self.books = ResidualCodebooks(channels, bottleneck)
        self.encoder = encoder_of(shape, 2 * channels if self.books is None else channels)
        self.decoder = decoder_of(shape)
        self.register_buffer("middle_C1", torch.zeros(channels, 1))
        self.register_buffer("size_C1", torch.ones(channels, 1))

    def posterior(self, waves_BAS: torch.Tensor) -> Posterior:
        """Of a net without codebooks."""
        mean_BCT, free_BCT = self.encoder(waves_BAS).chunk(2, dim=1)
        return Posterior(mean_BCT, softplus(free_BCT) + _LEAST_SPREAD)

    def latents(self, waves_BAS: torch.Tensor) -> torch.Tensor:
        """What the decoder is meant to be given, before any rounding: (B, C, T)."""
        made: torch.Tensor = (
            self.posterior(waves_BAS).mean_BCT if self.books is None else self.encoder(waves_BAS)
        )
        return made

    def waves(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        """Waves of latents, rounded to codebooks where there are any: (B, A, S)."""
        if self.books is not None:
            latents_BCT = self.books(latents_BCT).rounded_BCT
        made: torch.Tensor = self.decoder(latents_BCT)
        return made
