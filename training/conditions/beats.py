"""Beats as a condition: the number in the bar, one-hot, beside the time (arXiv 2311.08355).

Shapes: B samples, L beats, D width of a token.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn.functional import one_hot

from schemas.labels import Beats
from training.conditions.embeddings import BASE, TIME_UNIT_S, MusicPositionalEncoding
from training.conditions.limits import MAX_BEATS
from training.conditions.tokens import Tokens, joined_rows, padded_length

MAX_NUMBER: Final = 12  # a bar of 12/8 counted in eighths; numbers above share the last index
_NULL: Final = 0  # in the place of a beat's number: no beats are known, or they were dropped


class BeatBatch(NamedTuple):
    """Beats of a batch: numbers in the bar from 1 (0: null token or padding), times, and a mask."""

    numbers_BL: torch.Tensor
    times_s_BL: torch.Tensor
    mask_BL: torch.Tensor

    def to(self, device: torch.device | str) -> "BeatBatch":
        """The same on another device."""
        return BeatBatch(*(part.to(device) for part in self))

    def joined(self, other: "BeatBatch") -> "BeatBatch":
        """The samples of both, one after the other."""
        return BeatBatch(
            *(joined_rows(ours, theirs) for ours, theirs in zip(self, other, strict=True))
        )


def batched_beats(beats: Sequence[Beats | None], limit: int = MAX_BEATS) -> BeatBatch:
    """The beats of several samples, padded to one length.

    Of more than `limit` beats the first are kept, so that the rest of an over-long clip is
    unconditioned rather than conditioned wrongly. A sample without beats, or none where they were
    dropped, is the null token alone.

    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> waltz = Beats(times_s=(0.5, 1.0), numbers=(3, 1), **how)
    >>> batch = batched_beats([waltz, None])
    >>> batch.numbers_BL[:, :3].tolist(), batch.mask_BL.sum(1).tolist()
    ([[3, 1, 0], [0, 0, 0]], [2, 1])
    """
    rows = [
        () if one is None else tuple(zip(one.numbers, one.times_s, strict=True))[:limit]
        for one in beats
    ]
    shape = (len(rows), padded_length([len(row) for row in rows]))
    numbers_BL, times_s_BL = torch.full(shape, _NULL), torch.zeros(shape)
    mask_BL = torch.zeros(shape, dtype=torch.bool)
    mask_BL[:, 0] = True
    for index, row in enumerate(rows):
        if row:
            numbers_BL[index, : len(row)] = torch.tensor(
                [min(number, MAX_NUMBER) for number, _ in row]
            )
            times_s_BL[index, : len(row)] = torch.tensor([time_s for _, time_s in row])
            mask_BL[index, : len(row)] = True
    return BeatBatch(numbers_BL, times_s_BL, mask_BL)


class BeatEmbedding(nn.Module):
    """One linear map of one-hot number beside encoded time; a null vector where none is known."""

    def __init__(self, width: int, unit_s: float = TIME_UNIT_S, base: float = BASE) -> None:
        super().__init__()
        self.when = MusicPositionalEncoding(width, unit_s, base)
        self.mix = nn.Linear(MAX_NUMBER + width, width)
        self.null_D = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, batch: BeatBatch) -> Tokens:
        """Tokens of a batch."""
        number = one_hot(batch.numbers_BL.clamp(min=1) - 1, MAX_NUMBER)
        states_BLD = self.mix(
            torch.cat(
                [number.to(self.null_D.dtype), self.when(batch.times_s_BL).to(self.null_D.dtype)],
                dim=-1,
            )
        )
        known_BL1 = (batch.numbers_BL != _NULL)[..., None]
        return Tokens(
            torch.where(known_BL1, states_BLD, self.null_D.to(states_BLD.dtype)),
            batch.mask_BL,
            batch.times_s_BL,
        )
