"""The transformer itself.

Shapes: B samples, C latent channels, T latent frames, F latent bands, N tokens of P frames each, D
width, R frame rows, M channels that they are mixed into.
"""

from typing import Final, cast

import torch
from torch import nn
from torch.nn.functional import pad, silu
from torch.utils.checkpoint import checkpoint

from training.conditions.embeddings import Jump, RowMixer, TimeEmbedding
from training.conditions.net_shape import check_inputs
from training.conditions.rows import row_width
from training.conditions.tokens import Context
from training.dit.block import MODULATIONS, DitBlock, Surroundings, normed
from training.dit.config import DitConfig

_TIME_WIDTH: Final = 256  # of an encoded time, as in DiT


class Dit(nn.Module):
    """Predicts an objective's target of a noisy latent from time, text and controls.

    Any number of frames will do. With `checkpointing`, activations within a block are computed
    again on the way back. Raises `TrainingError` where a condition that the configuration names is
    missing.
    """

    def __init__(self, config: DitConfig, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.config, self.checkpointing = config, checkpointing
        width = config.width
        held = config.patch * config.latent_channels * config.latent_bands
        self.time = TimeEmbedding(_TIME_WIDTH, width, config.adds_seconds, config.jumps)
        self.modulate = nn.Linear(width, MODULATIONS * width)
        self.enter = nn.Linear(held, width)
        self.mix_rows = RowMixer(row_width(config.rows), config.row_width) if config.rows else None
        self.join_rows = (
            nn.Linear(config.patch * config.row_width, width, bias=False) if config.rows else None
        )
        self.blocks = nn.ModuleList(DitBlock(config) for _ in range(config.depth))
        self.offset_2D = nn.Parameter(torch.zeros(2, width))
        self.leave = nn.Linear(width, held)
        for layer in (self.modulate, self.leave):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

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

        `steps_B`: times in thousandths. `seconds_B2`: start of the clip and length of its song, or
        none if unknown. `rows_BTR`: frame rows (`training.conditions.rows`), or none where nothing
        is known. `frames_B`: how many frames of each are not padding; nobody looks at what is.
        `jump` is for students.
        """
        check_inputs(self.config, x_BCTF, context, seconds_B2, rows_BTR, jump)
        time_BD = silu(self.time(steps_B, seconds_B2, jump))
        x_BND = self.enter(self._patched(x_BCTF.transpose(1, 2).flatten(2)))
        if self.mix_rows is not None and self.join_rows is not None and rows_BTR is not None:
            x_BND = x_BND + self.join_rows(self._patched(self.mix_rows(rows_BTR).transpose(1, 2)))
        around = self._surroundings(x_BND, time_BD, context, frames_B)
        for block in self.blocks:
            x_BND = self._run(block, x_BND, around)
        shift, scale = (time_BD[:, None] + self.offset_2D)[:, :, None].unbind(1)
        out_BND = self.leave(normed(x_BND) * (1 + scale) + shift)
        return self._unpatched(out_BND, x_BCTF)

    def _surroundings(
        self,
        x_BND: torch.Tensor,
        time_BD: torch.Tensor,
        context: Context,
        frames_B: torch.Tensor | None,
    ) -> Surroundings:
        places_N = torch.arange(x_BND.shape[1], device=x_BND.device) * self.config.patch
        rate_hz, own_BN = self.config.frame_rate_hz, None
        if frames_B is not None:  # one at least, so that no row of attention is masked as a whole
            own_BN = places_N < frames_B.clamp(min=1)[:, None]
        return Surroundings(
            modulation_B6D=self.modulate(time_BD).unflatten(1, (MODULATIONS, -1)),
            context=context,
            places_N=places_N,
            times_s_N=(places_N + self.config.patch / 2) / rate_hz if rate_hz else None,
            own_BN=own_BN,
        )

    def _run(self, block: nn.Module, x_BND: torch.Tensor, around: Surroundings) -> torch.Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            return cast(torch.Tensor, checkpoint(block, x_BND, around, use_reentrant=False))
        return cast(torch.Tensor, block(x_BND, around))

    def _patched(self, frames_BTM: torch.Tensor) -> torch.Tensor:
        """Neighbouring frames as one token, the last one filled with silence: (B, N, P × M)."""
        size = self.config.patch
        samples, frames, width = frames_BTM.shape
        padded = pad(frames_BTM, (0, 0, 0, -frames % size))
        return padded.reshape(samples, -1, size * width)

    def _unpatched(self, out_BND: torch.Tensor, like_BCTF: torch.Tensor) -> torch.Tensor:
        samples, channels, frames, bands = like_BCTF.shape
        out_BTCF = out_BND.reshape(samples, -1, channels, bands)[:, :frames]
        return out_BTCF.transpose(1, 2)
