"""A net that tells masked codes from those around them, from text and from frame rows.

The transformer over latent frames (`training/dit`) as it is: a frame comes in as the sum of its
codes' embeddings, and leaves as a vector from which each book has a head of its own. One net for
coarse and finer books: both have to know what sounds at a beat or in a chord, so both learn it from
all visits, and it is told which of them it is asked for as others are told the time.

Shapes: B clips, L codebooks, T latent frames, E width of an embedded frame, N entries of a
codebook, M codes that are asked for, R frame rows.
"""

from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy, embedding

from training.conditions import Condition
from training.conditions.tokens import Tokens
from training.dit.config import DitConfig
from training.dit.net import Dit
from training.tokens.recipe import CodesRecipe

_FINE: Final = 1000.0  # where others have a time in thousandths; of coarse books 0


class TokenConditions(NamedTuple):
    """What a batch is conditioned on."""

    text: Tokens  # of the empty prompt where the text was dropped
    rows_BTR: torch.Tensor | None  # zeros where nothing is known; none where the net takes none


class ShownCodes(NamedTuple):
    """Codes as the net sees them."""

    codes_BLT: torch.Tensor
    hidden_BLT: torch.Tensor  # true where a code is masked, whatever stands there
    is_fine_B: torch.Tensor  # whether finer books are asked for
    frames_B: torch.Tensor | None  # of each that are not padding


class TokenNet(nn.Module):
    """Embeddings, transformer, heads."""

    def __init__(self, shape: DitConfig, codes: CodesRecipe) -> None:
        super().__init__()
        self.codes = codes
        width = shape.latent_channels
        # of each book its entries, and one more for a masked code
        rows = codes.books * (codes.entries + 1)
        self.entries = nn.Parameter(torch.randn(rows, width) * codes.books**-0.5)
        self.net = Dit(shape)
        self.heads = nn.Parameter(torch.randn(codes.books, codes.entries, width) * width**-0.5)
        self.head_bias = nn.Parameter(torch.zeros(codes.books, codes.entries))

    def forward(
        self, shown: ShownCodes, learned_BLT: torch.Tensor, conditions: TokenConditions
    ) -> torch.Tensor:
        """The mean cross entropy of each clip's codes that are learned, in nats: (B,); 0 of a clip
        of which none is.
        """
        states_BTE = self.states(shown, conditions)
        total_B = states_BTE.new_zeros(len(states_BTE), dtype=torch.float32)
        for book in range(self.codes.books):
            clips_M, frames_M = torch.nonzero(learned_BLT[:, book], as_tuple=True)
            logits_MN = self.logits(states_BTE[clips_M, frames_M], book)
            asked_M = shown.codes_BLT[clips_M, book, frames_M]
            losses_M = cross_entropy(logits_MN.float(), asked_M, reduction="none")
            total_B = total_B.index_add(0, clips_M, losses_M)
        return total_B / learned_BLT.sum((1, 2)).clamp(min=1)

    def states(self, shown: ShownCodes, conditions: TokenConditions) -> torch.Tensor:
        """What the heads look at: (B, T, E)."""
        codes, books = self.codes, torch.arange(self.codes.books, device=shown.codes_BLT.device)
        numbers_BLT = torch.where(shown.hidden_BLT, codes.entries, shown.codes_BLT)
        offsets_L1 = books[:, None] * (codes.entries + 1)
        frames_BTE = embedding(numbers_BLT + offsets_L1, self.entries).sum(1)
        out_BET1: torch.Tensor = self.net(
            frames_BTE.transpose(1, 2)[..., None],
            shown.is_fine_B.float() * _FINE,
            {Condition.TEXT: conditions.text},
            rows_BTR=conditions.rows_BTR,
            frames_B=shown.frames_B,
        )
        return out_BET1[..., 0].transpose(1, 2)

    def logits(self, states_ME: torch.Tensor, book: int) -> torch.Tensor:
        """Of each entry of a book: (…, E) to (…, N)."""
        return states_ME @ self.heads[book].T + self.head_bias[book]
