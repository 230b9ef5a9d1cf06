"""The UNet itself.

Shapes: B samples, C latent channels, T latent frames, F latent bands, R frame rows, M channels that
they are mixed into.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn.functional import avg_pool1d, silu
from torch.utils.checkpoint import checkpoint

from training.conditions.embeddings import Jump, RowMixer, TimeEmbedding
from training.conditions.net_shape import check_inputs
from training.conditions.rows import row_width
from training.conditions.tokens import Context
from training.munet.blocks import (
    STEP_WIDER,
    Downsample,
    ResBlock,
    UNetLayer,
    Upsample,
)
from training.munet.config import MuNetConfig
from training.munet.row_copy import RowCopy


class _Level(nn.Module):
    """Layers of one level, and the way to the next: `Downsample`, `Upsample`, or none."""

    def __init__(self, layers: list[UNetLayer], onward: Downsample | Upsample | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.onward = onward


class MuNet(nn.Module):
    """Predicts an objective's target of a noisy latent from step, text and controls.

    Any number of frames and bands will do. With `checkpointing`, activations within a layer are
    computed again on the way back: a third more time for a fraction of the memory. Raises
    `TrainingError` where a condition that the configuration names is missing.
    """

    def __init__(self, config: MuNetConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.config, self.checkpointing = config, checkpointing
        finest, coarsest = config.widths[0], config.widths[-1]
        self.step = TimeEmbedding(finest, STEP_WIDER * finest, config.adds_seconds, config.jumps)
        self.enter = nn.Conv2d(config.latent_channels, finest, 3, padding=1)
        self.mix_rows = RowMixer(row_width(config.rows), config.row_width) if config.rows else None
        self.down, skips = _way_down(config)
        self.row_copy = (
            RowCopy(config, *_way_down(config)) if config.rows and not config.adds_rows else None
        )
        self.middle = UNetLayer(config, coarsest, coarsest, attended=True)
        self.middle_block = ResBlock(config, coarsest, coarsest)
        self.up = _way_up(config, skips)
        self.norm = nn.GroupNorm(config.norm_groups, finest)
        self.leave = nn.Conv2d(finest, config.latent_channels, 3, padding=1)

    def forward(
        self,
        x_BCTF: torch.Tensor,
        steps_B: torch.Tensor,
        context: Context,
        seconds_B2: torch.Tensor | None = None,
        rows_BTR: torch.Tensor | None = None,
        frames_B: torch.Tensor | None = None,
        jump: Jump | None = None,
    ) -> torch.Tensor:
        """The prediction, shaped as the latent.

        `seconds_B2`: start of the clip and length of its song, or none if unknown. `rows_BTR`:
        frame rows (`training.conditions.rows`), or none where nothing is known. `frames_B` is for
        nets that look past padding: here it is silence. `jump` is for students.
        """
        check_inputs(self.config, x_BCTF, context, seconds_B2, rows_BTR, jump)
        rows = self._rows_by_depth(rows_BTR)
        step_BE = self.step(steps_B, seconds_B2, jump)
        deepest = len(self.down) - 1
        x, skips = self._down(self, self.enter(x_BCTF), step_BE, context, rows)
        if self.row_copy is not None and rows[0] is not None:
            seen = self.row_copy.entered(x_BCTF, rows[0])
            found, left = self._down(self.row_copy, seen, step_BE, context, rows)
            x, skips = x + self.row_copy.leave_middle(found), self.row_copy.added(skips, left)
        for depth, level in zip(range(deepest, -1, -1), self._levels(self.up)):
            for layer in level.layers:
                x = torch.cat([x, skips.pop()], dim=1)
                x = self._run(layer, x, step_BE, context, depth, rows[depth])
            if level.onward is not None:
                x = level.onward(x, skips[-1])
        out_BCTF: torch.Tensor = self.leave(silu(self.norm(x)))
        return out_BCTF

    def _down(
        self,
        way: "MuNet | RowCopy",
        x: torch.Tensor,
        step_BE: torch.Tensor,
        context: Context,
        rows: Sequence[torch.Tensor | None],
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Down through the levels and the middle; the grid there, and those left on the way."""
        skips = [x]
        for depth, level in enumerate(self._levels(way.down)):
            for layer in level.layers:
                x = self._run(layer, x, step_BE, context, depth, rows[depth])
                skips.append(x)
            if level.onward is not None:
                x = level.onward(x)
                skips.append(x)
        deepest = len(rows) - 1
        x = self._run(way.middle, x, step_BE, context, deepest, rows[deepest])
        return way.middle_block(x, step_BE, rows[deepest]), skips

    def _rows_by_depth(self, rows_BTR: torch.Tensor | None) -> list[torch.Tensor | None]:
        """Mixed rows for each level: (B, M, T), frames in pairs averaged from level to level."""
        if self.mix_rows is None or rows_BTR is None:
            return [None] * len(self.down)
        levels: list[torch.Tensor | None] = []
        mixed_BMT: torch.Tensor = self.mix_rows(rows_BTR)
        for _ in self.down:
            levels.append(mixed_BMT)
            mixed_BMT = avg_pool1d(mixed_BMT, 2, ceil_mode=True)
        return levels

    def _run(
        self,
        layer: nn.Module,
        x: torch.Tensor,
        step_BE: torch.Tensor,
        context: Context,
        depth: int,
        rows_BMT: torch.Tensor | None,
    ) -> torch.Tensor:
        times_s_T = self._times_s(x.shape[2], depth, x.device)
        if self.checkpointing and torch.is_grad_enabled():
            return cast(
                torch.Tensor,
                checkpoint(layer, x, step_BE, context, times_s_T, rows_BMT, use_reentrant=False),
            )
        return cast(torch.Tensor, layer(x, step_BE, context, times_s_T, rows_BMT))

    def _times_s(self, frames: int, depth: int, device: torch.device) -> torch.Tensor | None:
        """When each frame of a level is, if frames are to know."""
        if self.config.frame_rate_hz is None:
            return None
        # the frame of the latent that each is centred on
        frames_T = torch.arange(frames, device=device) * 2**depth
        times_s_T: torch.Tensor = (frames_T + 0.5) / self.config.frame_rate_hz
        return times_s_T

    @staticmethod
    def _levels(way: nn.ModuleList) -> list[_Level]:
        return [cast(_Level, level) for level in way]


def _way_down(config: MuNetConfig) -> tuple[nn.ModuleList, list[int]]:
    """Levels from the finest, and the widths of the grids that they leave for the way up."""
    levels, width, skips = [], config.widths[0], [config.widths[0]]
    for depth, (wider, attended) in enumerate(zip(config.widths, config.attended, strict=True)):
        layers = []
        for _ in range(config.layers):
            layers.append(UNetLayer(config, width, wider, attended))
            width = wider
            skips.append(width)
        last = depth == len(config.widths) - 1
        levels.append(_Level(layers, None if last else Downsample(width)))
        skips += [] if last else [width]
    return nn.ModuleList(levels), skips


def _way_up(config: MuNetConfig, skips: list[int]) -> nn.ModuleList:
    """Levels from the coarsest; each layer also takes one of the grids that the way down left."""
    levels, width, left = [], config.widths[-1], list(skips)
    for depth in range(len(config.widths) - 1, -1, -1):
        layers = []
        for _ in range(config.layers + 1):
            layers.append(
                UNetLayer(config, width + left.pop(), config.widths[depth], config.attended[depth])
            )
            width = config.widths[depth]
        levels.append(_Level(layers, Upsample(width) if depth else None))
    return nn.ModuleList(levels)
