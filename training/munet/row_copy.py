"""Frame rows through a copy of the way down, beside a net that may stay as it is: S. Wu et al.,
"Music ControlNet", 2023 (arXiv 2311.07069), after L. Zhang et al., "ControlNet".

Shapes: B samples, C channels, T frames, F bands, M channels that frame rows are mixed into.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from training.munet.blocks import ResBlock, UNetLayer
from training.munet.config import MuNetConfig

COPIED: Final = ("enter", "down", "middle", "middle_block")


class RowCopy(nn.Module):
    """The way down and the middle once more, which see the rows; what they find is added to what
    the net's own leave for its way up.

    Rows enter, and what was found leaves, by convolutions of one place that begin as zero, so that
    a net with a fresh copy plays as without.
    """

    def __init__(self, config: MuNetConfig, down: nn.ModuleList, skips: Sequence[int]) -> None:
        super().__init__()
        coarsest = config.widths[-1]
        self.enter = nn.Conv2d(config.latent_channels, config.widths[0], 3, padding=1)
        self.hint = _zeroed(nn.Conv1d(config.row_width, config.widths[0], 1))
        self.down = down
        self.middle = UNetLayer(config, coarsest, coarsest, attended=True)
        self.middle_block = ResBlock(config, coarsest, coarsest)
        self.leave = nn.ModuleList(_zeroed(nn.Conv2d(width, width, 1)) for width in skips)
        self.leave_middle = _zeroed(nn.Conv2d(coarsest, coarsest, 1))

    def entered(self, x_BCTF: torch.Tensor, mixed_BMT: torch.Tensor) -> torch.Tensor:
        """The noisy latent at the finest level's width, rows added in all bands."""
        out_BCTF: torch.Tensor = self.enter(x_BCTF) + self.hint(mixed_BMT)[..., None]
        return out_BCTF

    def added(
        self, skips: Sequence[torch.Tensor], found: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """What the net's way down left, with what the copy's found."""
        return [
            skip + leave(one) for skip, leave, one in zip(skips, self.leave, found, strict=True)
        ]

    def begin_as(self, net: nn.Module) -> None:
        """Take over the weights of the parts of a net that this is a copy of."""
        for part in COPIED:
            self.get_submodule(part).load_state_dict(net.get_submodule(part).state_dict())


def _zeroed(conv: nn.Conv1d | nn.Conv2d) -> nn.Module:
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv
