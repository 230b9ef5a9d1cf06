"""Which codes a masked model is shown: random shares to learn from, prompts to play from.

H. F. Garcia et al., "VampNet: Music Generation via Masked Acoustic Token Modeling", 2023 (arXiv
2307.04686); the schedule is of H. Chang et al., "MaskGIT", 2022 (arXiv 2202.04200).

A prompt says what is *kept*: true where a code stays, so that prompts are joined by | and &.

Shapes: B clips, L codebooks, T latent frames.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from training.conditions.clip_controls import Span
from training.conditions.rows import FrameGrid
from training.errors import TrainingError


def cosine_share(progress: float) -> float:
    """The share of codes that is masked, of a draw or of the way through rounds, from 0 to 1.

    >>> [round(cosine_share(progress), 3) for progress in (0, 0.5, 1)]
    [1.0, 0.707, 0.0]
    """
    return math.cos(math.pi / 2 * progress)


def random_masked(
    order_BLT: torch.Tensor, open_BLT: torch.Tensor, progress_B: torch.Tensor
) -> torch.Tensor:
    """Which of the codes that are open are masked: the cosine share of each clip, one at least, the
    lowest by `order_BLT`, which are numbers drawn for each; (B, L, T).

    >>> order = torch.tensor([[[3.0, 1, 4, 2]]])
    >>> is_open = torch.tensor([[[True, True, False, True]]])
    >>> random_masked(order, is_open, torch.tensor([0.5])).int().tolist()
    [[[1, 1, 0, 1]]]
    >>> random_masked(order, is_open, torch.tensor([0.99])).int().tolist()
    [[[0, 1, 0, 0]]]
    """
    open_BM = open_BLT.flatten(1)
    share_B = torch.cos(math.pi / 2 * progress_B)
    counts_B = torch.ceil(share_B * open_BM.sum(1)).clamp(min=1)
    order_BM = order_BLT.flatten(1).masked_fill(~open_BM, torch.inf)
    ranks_BM = order_BM.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    return ((ranks_BM < counts_B[:, None]) & open_BM).view_as(open_BLT)


class DrawnMasks(NamedTuple):
    """What a clip is shown on a visit, and what is learned of it; (B, L, T) both."""

    hidden_BLT: torch.Tensor  # shown as masked
    learned_BLT: torch.Tensor  # of these, those that are to be told


def drawn_masks(
    order_BLT: torch.Tensor,
    progress_B: torch.Tensor,
    is_fine_B: torch.Tensor,
    frames_B: torch.Tensor,
    coarse: int,
) -> DrawnMasks:
    """Masks of a visit: among the first `coarse` books, all finer ones hidden; or, of fine visits,
    among the finer ones, all coarse ones shown. Frames behind a clip's own are learned by nobody.

    >>> masks = drawn_masks(torch.zeros(2, 3, 2), *torch.tensor([[0.0, 0], [0, 1], [2, 1]]), 1)
    >>> masks.hidden_BLT.int().tolist()
    [[[1, 1], [1, 1], [1, 1]], [[0, 0], [1, 0], [1, 0]]]
    >>> masks.learned_BLT.int().tolist()
    [[[1, 1], [0, 0], [0, 0]], [[0, 0], [1, 0], [1, 0]]]
    """
    books, frames = order_BLT.shape[1:]
    device = order_BLT.device
    is_finer_L = torch.arange(books, device=device) >= coarse
    is_own_BT = torch.arange(frames, device=device) < frames_B[:, None]
    of_level_BL = is_finer_L == is_fine_B.bool()[:, None]
    open_BLT = of_level_BL[:, :, None] & is_own_BT[:, None]
    learned_BLT = random_masked(order_BLT, open_BLT, progress_B) & open_BLT
    finer_BL = is_finer_L & ~is_fine_B.bool()[:, None]
    return DrawnMasks(learned_BLT | finer_BL[:, :, None], learned_BLT)


def kept_periodically(frames: int, every: int, width: int = 1) -> torch.Tensor:
    """The first `width` of each `every` frames: (T,).

    Raises `TrainingError` where these would be all.

    >>> kept_periodically(7, 3).int().tolist()
    [1, 0, 0, 1, 0, 0, 1]
    """
    if not 1 <= width < every:
        raise TrainingError(f"{width} of each {every} frames kept: expected 1 to {every - 1}")
    return torch.arange(frames) % every < width


def kept_at_beats(grid: FrameGrid, beats_s: Sequence[float], width_s: float) -> torch.Tensor:
    """The frames that lie within `width_s` from a beat on by half or more, one at least: (T,).

    >>> kept_at_beats(FrameGrid(8, 10.0), [0.1, 0.5], width_s=0.2).int().tolist()
    [0, 1, 1, 0, 0, 1, 1, 0]
    """
    if width_s <= 0:
        raise TrainingError(f"{width_s:g} s kept at each beat: expected more than 0")
    starts = (torch.tensor(list(beats_s), dtype=torch.float64) * grid.per_s + 1e-6).floor().long()
    width = max(1, round(width_s * grid.per_s))
    places = (starts[:, None] + torch.arange(width)).flatten()
    kept_T = torch.zeros(grid.frames, dtype=torch.bool)
    kept_T[places[(places >= 0) & (places < grid.frames)]] = True
    return kept_T


def kept_books(books: int, coarse: int) -> torch.Tensor:
    """The first books alone, at all times: (L, 1).

    >>> kept_books(3, 1)[:, 0].int().tolist()
    [1, 0, 0]
    """
    if not 1 <= coarse < books:
        raise TrainingError(f"{coarse} of {books} codebooks kept: expected 1 to {books - 1}")
    return (torch.arange(books) < coarse)[:, None]


def kept_around(grid: FrameGrid, gap: Span) -> torch.Tensor:
    """All frames but those that a gap touches: (T,).

    >>> kept_around(FrameGrid(6, 2.0), Span(1.0, 2.0)).int().tolist()
    [1, 1, 0, 0, 1, 1]
    """
    edges_s = torch.from_numpy(grid.edges_s)
    touched_T = (edges_s[1:] > gap.start_s + 1e-6) & (edges_s[:-1] < gap.end_s - 1e-6)
    return ~touched_T
