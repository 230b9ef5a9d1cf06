"""The delay pattern: book k of residual codes comes k frames late, so that a model which goes from
frame to frame says all books in one pass, each knowing the coarser ones of its own frame.

J. Copet et al., "Simple and Controllable Music Generation" (MusicGen), 2023 (arXiv 2306.05284).

Shapes: B clips, L codebooks, T latent frames, N = T + L - 1 steps.
"""

from typing import NamedTuple

import torch

from training.errors import TrainingError


class Delayed(NamedTuple):
    """Codes in the order in which they are said."""

    codes_BLN: torch.Tensor
    is_code_LN: torch.Tensor  # false where a book has not begun, or is over


def delayed(codes_BLT: torch.Tensor, filler: int) -> Delayed:
    """Codes with book k moved back by k frames; `filler` stands for what is not a code.

    >>> made = delayed(torch.tensor([[[1, 2, 3], [4, 5, 6]]]), filler=9)
    >>> made.codes_BLN[0].tolist()
    [[1, 2, 3, 9], [9, 4, 5, 6]]
    >>> made.is_code_LN.int().tolist()
    [[1, 1, 1, 0], [0, 1, 1, 1]]
    """
    clips, books, frames = codes_BLT.shape
    steps = frames + books - 1
    codes_BLN = codes_BLT.new_full((clips, books, steps), filler)
    is_code_LN = torch.zeros(books, steps, dtype=torch.bool, device=codes_BLT.device)
    for book in range(books):
        codes_BLN[:, book, book : book + frames] = codes_BLT[:, book]
        is_code_LN[book, book : book + frames] = True
    return Delayed(codes_BLN, is_code_LN)


def undelayed(codes_BLN: torch.Tensor) -> torch.Tensor:
    """Codes as a codec has them, (B, L, T), of delayed ones.

    Raises `TrainingError` for fewer steps than books.

    >>> undelayed(torch.tensor([[[1, 2, 3, 9], [9, 4, 5, 6]]]))[0].tolist()
    [[1, 2, 3], [4, 5, 6]]
    """
    books, steps = codes_BLN.shape[1:]
    frames = steps - books + 1
    if frames < 1:
        raise TrainingError(
            f"{steps} steps of {books} delayed codebooks hold no whole frame: expected {books} or "
            "more"
        )
    rows = [codes_BLN[:, book, book : book + frames] for book in range(books)]
    return torch.stack(rows, dim=1)
