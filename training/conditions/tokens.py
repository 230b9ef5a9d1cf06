"""Padded sequences and their masks.

Shapes: B samples, L tokens, D width of a token.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch.nn.functional import pad

from training.conditions import Condition

# Lengths are rounded up to whole eights: fused attention in bf16 wants masks so aligned, and a
# compiled net meets few different lengths.
LENGTH_STEP: Final = 8


class Tokens(NamedTuple):
    """The tokens of one condition. In every row the mask is true at least once."""

    states_BLD: torch.Tensor
    mask_BL: torch.Tensor  # bool, true where a token stands
    times_s_BL: torch.Tensor | None = None  # when each is; none for a text

    def to(self, device: torch.device | str) -> "Tokens":
        """The same on another device."""
        times_s_BL = None if self.times_s_BL is None else self.times_s_BL.to(device)
        return Tokens(self.states_BLD.to(device), self.mask_BL.to(device), times_s_BL)


# what a net attends to
Context = Mapping[Condition, Tokens]


def padded_length(lengths: Sequence[int]) -> int:
    """The length that a batch is padded to: its longest, rounded up to whole eights.

    >>> padded_length([3, 17]), padded_length([0])
    (24, 8)
    """
    return max(LENGTH_STEP, -(-max(lengths, default=0) // LENGTH_STEP) * LENGTH_STEP)


def joined_rows(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Rows of both, (B1 + B2, L, …), the shorter padded with zeros (false in a mask)."""
    length = max(first.shape[1], second.shape[1])
    return torch.cat([_longer(first, length), _longer(second, length)])


def joined_tokens(first: Tokens, second: Tokens) -> Tokens:
    """The samples of both texts, one after the other."""
    return Tokens(
        joined_rows(first.states_BLD, second.states_BLD), joined_rows(first.mask_BL, second.mask_BL)
    )


def _longer(rows: torch.Tensor, length: int) -> torch.Tensor:
    return pad(rows, (0, 0) * (rows.dim() - 2) + (0, length - rows.shape[1]))
