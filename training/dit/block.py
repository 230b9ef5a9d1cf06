"""A block of the transformer.

Shapes: B samples, N tokens of frames, D width, H heads, c channels of a head, L tokens of a
condition.
"""

from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention

from training.conditions import Condition
from training.conditions.embeddings import rotated
from training.conditions.tokens import Context
from training.dit.config import DitConfig
from training.munet.attention import Attention, FeedForward

MODULATIONS: Final = 6  # shift, scale and gate, of attention and of the feed-forward


class Surroundings(NamedTuple):
    """What every block looks at beside the frames themselves."""

    modulation_B6D: torch.Tensor
    context: Context
    places_N: torch.Tensor  # of tokens, in latent frames
    times_s_N: torch.Tensor | None  # of tokens, where frames are to know
    own_BN: torch.Tensor | None  # false where a token is padding


class SelfAttention(nn.Module):
    """Frames look at each other by how far apart they are (rotary; queries and keys of unit size,
    Henry et al. 2020).
    """

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.enter = nn.Linear(width, 3 * width, bias=False)
        self.query_size = nn.Parameter(torch.ones(head_width))
        self.key_size = nn.Parameter(torch.ones(head_width))
        self.leave = nn.Linear(width, width)

    def forward(self, x_BND: torch.Tensor, around: Surroundings) -> torch.Tensor:
        """(B, N, D) to (B, N, D)."""
        query, key, value = (self._heads(part) for part in self.enter(x_BND).chunk(3, dim=-1))
        query, key = (
            rotated(self._sized(part, size), around.places_N, unit_s=1.0)
            for part, size in ((query, self.query_size), (key, self.key_size))
        )
        mask = None if around.own_BN is None else around.own_BN[:, None, None]
        found_BHNc = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out_BND: torch.Tensor = self.leave(found_BHNc.transpose(1, 2).flatten(2))
        return out_BND

    def _heads(self, x_BND: torch.Tensor) -> torch.Tensor:
        return x_BND.reshape(*x_BND.shape[:2], -1, self.head_width).transpose(1, 2)

    def _sized(self, x_BHNc: torch.Tensor, size_c: torch.Tensor) -> torch.Tensor:
        """Vectors of heads at a learned size, in the type that they come in."""
        return rms_norm(x_BHNc, (self.head_width,), size_c.to(x_BHNc.dtype))


class DitBlock(nn.Module):
    """Self-attention, cross-attention to text and controls side by side, feed-forward.

    Time shifts, scales and gates what enters and leaves (adaLN-zero); one map of it serves all
    blocks, each with an offset of its own (Chen et al. 2023, PixArt-alpha, arXiv 2310.00426). A
    fresh block changes nothing. Checkpointed as one.
    """

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        width = config.width
        self.offset_6D = nn.Parameter(torch.zeros(MODULATIONS, width))
        self.self_attention = SelfAttention(width, config.head_width)
        self.cross_norm = nn.LayerNorm(width)
        self.attenders = nn.ModuleDict(
            {
                str(condition): _attender(config, condition)
                for condition in (Condition.TEXT, *config.controls)
            }
        )
        self.feed = FeedForward(width)

    def forward(self, x_BND: torch.Tensor, around: Surroundings) -> torch.Tensor:
        """(B, N, D) to (B, N, D)."""
        shift, scale, gate, shift_f, scale_f, gate_f = (around.modulation_B6D + self.offset_6D)[
            :, :, None
        ].unbind(1)
        x_BND = x_BND + gate * self.self_attention(normed(x_BND) * (1 + scale) + shift, around)
        looking_BND = self.cross_norm(x_BND)
        for condition, attender in self.attenders.items():
            tokens = around.context[Condition(condition)]
            x_BND = x_BND + attender(looking_BND, tokens, around.times_s_N)
        out_BND: torch.Tensor = x_BND + gate_f * self.feed(normed(x_BND) * (1 + scale_f) + shift_f)
        return out_BND


def normed(x_BND: torch.Tensor) -> torch.Tensor:
    """Tokens of mean 0 and spread 1."""
    return nn.functional.layer_norm(x_BND, x_BND.shape[-1:])


def _attender(config: DitConfig, condition: Condition) -> Attention:
    """Cross-attention that begins as nothing."""
    is_text = condition is Condition.TEXT
    token_width = config.text_width if is_text else config.control_width
    attender = Attention(config.width, config.head_width, token_width)
    _silence(attender.out)
    return attender


def _silence(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
