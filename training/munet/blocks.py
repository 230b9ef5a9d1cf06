"""What a level of the UNet is made of.

Shapes: B samples, C channels, T frames, F bands, E width of the step's embedding, M channels of
mixed frame rows.
"""

from typing import Final

import torch
from torch import nn
from torch.nn.functional import interpolate, silu

from training.conditions.tokens import Context
from training.munet.attention import AttentionSite
from training.munet.config import MuNetConfig

# the step's embedding is four times as wide as the finest level, as in latent diffusion
STEP_WIDER: Final = 4


class ResBlock(nn.Module):
    """Two convolutions with the step added between them, around a short cut.

    The step says when in the diffusion; frame rows, where the net takes any, when in the music.
    What they add begins as zero, so that a fresh net plays as one without them.
    """

    def __init__(self, config: MuNetConfig, width_in: int, width: int) -> None:
        super().__init__()
        groups = config.norm_groups
        self.norm_in = nn.GroupNorm(groups, width_in)
        self.conv_in = nn.Conv2d(width_in, width, 3, padding=1)
        self.step = nn.Linear(STEP_WIDER * config.widths[0], width)
        self.rows = nn.Conv1d(config.row_width, width, 1) if config.adds_rows else None
        if self.rows is not None:
            nn.init.zeros_(self.rows.weight)
            nn.init.zeros_(self.rows.bias)  # type: ignore[arg-type]
        self.norm_out = nn.GroupNorm(groups, width)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        self.short = nn.Conv2d(width_in, width, 1) if width_in != width else None

    def forward(
        self, x_BCTF: torch.Tensor, step_BE: torch.Tensor, rows_BMT: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(B, C in, T, F) to (B, C, T, F)."""
        inner = self.conv_in(silu(self.norm_in(x_BCTF))) + self.step(silu(step_BE))[..., None, None]
        if self.rows is not None and rows_BMT is not None:
            inner = inner + self.rows(rows_BMT)[..., None]
        inner = self.conv_out(silu(self.norm_out(inner)))
        out: torch.Tensor = (x_BCTF if self.short is None else self.short(x_BCTF)) + inner
        return out


class UNetLayer(nn.Module):
    """A residual block and, at an attended level, an attention site; checkpointed as one."""

    def __init__(self, config: MuNetConfig, width_in: int, width: int, attended: bool) -> None:
        super().__init__()
        self.block = ResBlock(config, width_in, width)
        self.site = AttentionSite(config, width) if attended else None

    def forward(
        self,
        x_BCTF: torch.Tensor,
        step_BE: torch.Tensor,
        context: Context,
        times_s_T: torch.Tensor | None,
        rows_BMT: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(B, C in, T, F) to (B, C, T, F)."""
        x_BCTF = self.block(x_BCTF, step_BE, rows_BMT)
        return x_BCTF if self.site is None else self.site(x_BCTF, context, times_s_T)


class Downsample(nn.Module):
    """Half as many frames and bands (rounded up: one band stays one)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x_BCTF: torch.Tensor) -> torch.Tensor:
        """(B, C, T, F) to (B, C, ⌈T / 2⌉, ⌈F / 2⌉)."""
        out: torch.Tensor = self.conv(x_BCTF)
        return out


class Upsample(nn.Module):
    """The grid of the next finer level: each place repeated, then smoothed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCTF: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """(B, C, ⌈T / 2⌉, ⌈F / 2⌉) to (B, C, T, F), as many frames and bands as `like` has."""
        out: torch.Tensor = self.conv(interpolate(x_BCTF, size=like.shape[2:], mode="nearest"))
        return out
