"""A critic of what a net plays: for each of several windows a small network that looks at
the complex spectrum and says of each patch whether it is music.

A. Défossez et al., "High Fidelity Neural Audio Compression", 2022 (arXiv 2210.13438).

Shapes: B clips, A channels, S samples, K bins, N frames, X = 2 × A parts of a complex number.
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import leaky_relu, relu
from torch.nn.utils.parametrizations import weight_norm

from training.codec.judged_recipe import CriticShape
from training.codec.spectral_loss import spectra

_SLOPE = 0.2


class WindowJudgement(NamedTuple):
    """What one window's network says: of each patch how much like music, and what it saw."""

    patches: torch.Tensor
    seen: tuple[torch.Tensor, ...]


class WindowCritic(nn.Module):
    """The network of one window; the further a layer, the more frames it spans."""

    def __init__(self, window: int, width: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("taper", torch.hann_window(window), persistent=False)
        self.layers = nn.ModuleList(
            weight_norm(layer)
            for layer in (
                nn.Conv2d(2 * channels, width, (9, 3), padding=(4, 1)),
                *(
                    nn.Conv2d(
                        width,
                        width,
                        (9, 3),
                        stride=(2, 1),
                        dilation=(1, dilation),
                        padding=(4, dilation),
                    )
                    for dilation in (1, 2, 4)
                ),
                nn.Conv2d(width, width, (3, 3), padding=(1, 1)),
            )
        )
        self.last = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=(1, 1)))

    def forward(self, waves_BAS: torch.Tensor) -> WindowJudgement:
        """A judgement of waves."""
        taper: torch.Tensor = self.taper  # type: ignore[assignment]  # a buffer
        parts_BAKN2 = torch.view_as_real(spectra(waves_BAS, taper))
        x_BXKN = parts_BAKN2.permute(0, 1, 4, 2, 3).flatten(1, 2)
        seen = []
        for layer in self.layers:
            x_BXKN = leaky_relu(layer(x_BXKN), _SLOPE)
            seen.append(x_BXKN)
        return WindowJudgement(self.last(x_BXKN), tuple(seen))


class Critic(nn.Module):
    """The networks of all windows."""

    def __init__(self, shape: CriticShape, channels: int) -> None:
        super().__init__()
        self.windows = nn.ModuleList(
            WindowCritic(window, shape.width, channels) for window in shape.windows
        )

    def forward(self, waves_BAS: torch.Tensor) -> list[WindowJudgement]:
        """A judgement of each."""
        return [one(waves_BAS) for one in self.windows]


def critic_loss(music: list[WindowJudgement], played: list[WindowJudgement]) -> torch.Tensor:
    """What the critic learns by, (B,): a hinge, music above 1 and what is played below -1."""
    return _mean(
        [
            _by_clip(relu(1 - real.patches)) + _by_clip(relu(1 + made.patches))
            for real, made in zip(music, played, strict=True)
        ]
    )


def likeness_loss(played: list[WindowJudgement]) -> torch.Tensor:
    """What the net that plays learns by: that it should pass for music, (B,)."""
    return _mean([-_by_clip(made.patches) for made in played])


def feature_loss(music: list[WindowJudgement], played: list[WindowJudgement]) -> torch.Tensor:
    """How far apart what the critic saw is, relative to what it saw of music: (B,)."""
    return _mean(
        [
            _by_clip((one.detach() - other).abs()) / (_by_clip(one.detach().abs()) + 1e-3)
            for real, made in zip(music, played, strict=True)
            for one, other in zip(real.seen, made.seen, strict=True)
        ]
    )


def _by_clip(values: torch.Tensor) -> torch.Tensor:
    return values.flatten(1).mean(1)


def _mean(losses_B: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(losses_B).mean(0)
