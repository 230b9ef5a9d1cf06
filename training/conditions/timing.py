"""Where in its piece a clip begins, and how long the piece is, as two tokens behind the text.

After Evans et al. 2024 (Stable Audio, arXiv 2402.04825), who learn a vector for each whole second.
Here each number is encoded and mapped, as in Stable Audio Open (arXiv 2407.14358): windows begin
between seconds, lengths are asked for to the tenth, and of a small corpus most seconds of a table
would be met by no piece.

Shapes: B samples, L tokens, D width of a token.
"""

from typing import Final

import torch
from torch import nn
from torch.nn.functional import pad

from training.conditions.embeddings import SECONDS_WIDTH, known_seconds, sinusoids
from training.conditions.tokens import LENGTH_STEP, Tokens

_NUMBERS: Final = 2  # start and total


class TimingEmbedding(nn.Module):
    """One linear map for each of both numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.start = nn.Linear(SECONDS_WIDTH, width)
        self.total = nn.Linear(SECONDS_WIDTH, width)

    def forward(self, text: Tokens, seconds_B2: torch.Tensor) -> Tokens:
        """A text with both tokens behind it; none where a sample's seconds are not known (NaN)."""
        states_BLD = text.states_BLD
        found = known_seconds(seconds_B2)
        encoded_B2E = sinusoids(found.seconds_B2, SECONDS_WIDTH).to(self.start.weight.dtype)
        told_B2D = torch.stack(
            [self.start(encoded_B2E[:, 0]), self.total(encoded_B2E[:, 1])], dim=1
        ).to(states_BLD.dtype)
        more = LENGTH_STEP - _NUMBERS  # lengths stay whole eights
        told_BLD = pad(told_B2D, (0, 0, 0, more))
        mask_BL = pad(found.known_B1.expand(-1, _NUMBERS), (0, more))
        return Tokens(
            torch.cat([states_BLD, told_BLD], dim=1), torch.cat([text.mask_BL, mask_BL], dim=1)
        )
