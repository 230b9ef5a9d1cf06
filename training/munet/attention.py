"""An attention site: one small transformer per condition, each looking at the grid itself and then
at its condition's tokens.

The transformer is that of latent diffusion (Rombach et al. 2022): self-attention, cross-attention,
gated feed-forward.

Shapes: B samples, C channels, T frames, F bands, P = T × F places of the grid, L tokens, D their
width, H heads, c channels of a head.
"""

from typing import Final

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from training.conditions import Condition
from training.conditions.embeddings import rotated
from training.conditions.tokens import Context, Tokens
from training.munet.config import MuNetConfig

_WIDER: Final = 4  # how much the feed-forward widens


class Attention(nn.Module):
    """Multi-head attention, fused (FlashAttention where device and type allow)."""

    def __init__(self, width: int, head_width: int, token_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(token_width, width, bias=False)
        self.value = nn.Linear(token_width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x_BPC: torch.Tensor,
        tokens: Tokens | None = None,
        times_s_P: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What each place finds among the tokens, or among the places themselves: (B, P, C).

        Where times of both are known, a place looks for tokens by how much earlier or later than
        itself they are, and what it finds says so too: values are turned to their times, and what
        is found back by the place's own. Without that a place knows which beat it found, but not
        how far off it is: in a toy task beats took three times as many steps to be learnt.
        """
        states_BLD = x_BPC if tokens is None else tokens.states_BLD
        query, key, value = (
            self._heads(self.query(x_BPC)),
            self._heads(self.key(states_BLD)),
            self._heads(self.value(states_BLD)),
        )
        mask_B11L = None if tokens is None else tokens.mask_BL[:, None, None]
        if tokens is None or tokens.times_s_BL is None or times_s_P is None:
            attended_BHPc = scaled_dot_product_attention(query, key, value, attn_mask=mask_B11L)
        else:
            query, (key, value) = (
                rotated(query, times_s_P),
                (rotated(part, tokens.times_s_BL[:, None]) for part in (key, value)),
            )
            attended_BHPc = rotated(
                scaled_dot_product_attention(query, key, value, attn_mask=mask_B11L), -times_s_P
            )
        out_BPC: torch.Tensor = self.out(attended_BHPc.transpose(1, 2).flatten(2))
        return out_BPC

    def _heads(self, x_BLC: torch.Tensor) -> torch.Tensor:
        return x_BLC.reshape(*x_BLC.shape[:2], -1, self.head_width).transpose(1, 2)


class FeedForward(nn.Module):
    """A gated feed-forward (GEGLU, Shazeer 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 2 * _WIDER * width)
        self.narrow = nn.Linear(_WIDER * width, width)

    def forward(self, x_BPC: torch.Tensor) -> torch.Tensor:
        """(B, P, C) to (B, P, C)."""
        value, gate = self.widen(x_BPC).chunk(2, dim=-1)
        out_BPC: torch.Tensor = self.narrow(value * gelu(gate))
        return out_BPC


class ConditionTransformer(nn.Module):
    """One condition's transformer.

    A control's begins as nothing: its last projection is zero, so that a fresh net plays as its
    control-blind twin does and learns from there.
    """

    def __init__(self, config: MuNetConfig, width: int, condition: Condition) -> None:
        super().__init__()
        is_control = condition is not Condition.TEXT
        self.norm = nn.GroupNorm(config.norm_groups, width, eps=1e-6)
        self.enter = nn.Linear(width, width)
        self.self_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, config.head_width, width)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(
            width, config.head_width, config.control_width if is_control else config.text_width
        )
        self.feed_norm = nn.LayerNorm(width)
        self.feed = FeedForward(width)
        self.leave = nn.Linear(width, width)
        if is_control:
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    def forward(
        self, x_BCTF: torch.Tensor, tokens: Tokens, times_s_T: torch.Tensor | None
    ) -> torch.Tensor:
        """The grid with what was found added to it."""
        times_s_P = None if times_s_T is None else times_s_T.repeat_interleave(x_BCTF.shape[3])
        x_BPC = self.enter(self.norm(x_BCTF).flatten(2).transpose(1, 2))
        x_BPC = x_BPC + self.self_attention(self.self_norm(x_BPC))
        x_BPC = x_BPC + self.cross_attention(self.cross_norm(x_BPC), tokens, times_s_P)
        x_BPC = x_BPC + self.feed(self.feed_norm(x_BPC))
        attended_BCTF: torch.Tensor = self.leave(x_BPC).transpose(1, 2).reshape(x_BCTF.shape)
        return x_BCTF + attended_BCTF


class AttentionSite(nn.Module):
    """The text's transformer, then those of the controls that the configuration names."""

    def __init__(self, config: MuNetConfig, width: int) -> None:
        super().__init__()
        self.attenders = nn.ModuleDict(
            {
                str(condition): ConditionTransformer(config, width, condition)
                for condition in (Condition.TEXT, *config.controls)
            }
        )

    def forward(
        self, x_BCTF: torch.Tensor, context: Context, times_s_T: torch.Tensor | None
    ) -> torch.Tensor:
        """The grid after attention to each condition in turn; `times_s_T`: when each frame is."""
        for condition, attender in self.attenders.items():
            x_BCTF = attender(x_BCTF, context[Condition(condition)], times_s_T)
        return x_BCTF
