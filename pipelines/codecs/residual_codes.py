"""Residual vector quantisation with factorised codes.

Each codebook looks at what the ones before it have left through a projection into few dimensions,
and takes the entry whose direction is nearest (R. Kumar et al., "High-Fidelity Audio Compression
with Improved RVQGAN", 2023, arXiv 2306.06546).

Shapes: B clips, C latent channels, T latent frames, L codebooks, N entries of a codebook, D its
dimensions.
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn.functional import embedding, normalize

from pipelines.codecs.wave_shape import RvqBottleneck


class Quantised(NamedTuple):
    """Latents as codebooks give them back; gradients pass as if nothing had been rounded."""

    rounded_BCT: torch.Tensor
    codes_BLT: torch.Tensor
    # squared distances of what was rounded and the entries, summed over codebooks in use: one moves
    # the encoder, the other the entries
    commitment_B: torch.Tensor
    codebook_B: torch.Tensor
    seen: tuple[torch.Tensor, ...]  # (B, D, T) of each codebook: what it rounded


class Codebook(nn.Module):
    """Entries, and the way to them and back."""

    def __init__(self, channels: int, rules: RvqBottleneck) -> None:
        super().__init__()
        self.into = nn.Conv1d(channels, rules.code_width, 1)
        self.entries = nn.Embedding(rules.entries, rules.code_width)
        self.back = nn.Conv1d(rules.code_width, channels, 1)

    def codes(self, seen_BDT: torch.Tensor) -> torch.Tensor:
        """The entry whose direction is nearest to each frame's: (B, T)."""
        directions_BTD = normalize(seen_BDT.transpose(1, 2), dim=-1)
        # of unit vectors the nearest has the largest product
        likeness_BTN = directions_BTD @ normalize(self.entries.weight, dim=-1).T
        return likeness_BTN.argmax(-1)

    def entries_of(self, codes_BT: torch.Tensor) -> torch.Tensor:
        """Entries of codes: (B, D, T)."""
        return embedding(codes_BT, self.entries.weight).transpose(1, 2)


class ResidualCodebooks(nn.Module):
    """Codebooks, the coarse one first."""

    def __init__(self, channels: int, rules: RvqBottleneck) -> None:
        super().__init__()
        self.books = nn.ModuleList(Codebook(channels, rules) for _ in range(rules.books))

    @property
    def entries(self) -> int:
        """Entries of each codebook."""
        return next(iter(self._in_order)).entries.num_embeddings

    @property
    def _in_order(self) -> Iterable[Codebook]:
        return cast("Iterable[Codebook]", self.books)

    def forward(self, latents_BCT: torch.Tensor, used_B: torch.Tensor | None = None) -> Quantised:
        """Latents through all codebooks, or the first so many of each clip."""
        left_BCT, codes, seen = latents_BCT, [], []
        total_BCT = torch.zeros_like(latents_BCT)
        commitment_B = codebook_B = latents_BCT.new_zeros(len(latents_BCT))
        for number, book in enumerate(self._in_order):
            is_used_B = torch.ones_like(commitment_B) if used_B is None else (used_B > number) * 1.0
            seen_BDT = book.into(left_BCT)
            codes_BT = book.codes(seen_BDT)
            entries_BDT = book.entries_of(codes_BT)
            commitment_B = commitment_B + is_used_B * _distance(seen_BDT, entries_BDT.detach())
            codebook_B = codebook_B + is_used_B * _distance(entries_BDT, seen_BDT.detach())
            rounded_BDT = seen_BDT + (entries_BDT - seen_BDT).detach()
            added_BCT = book.back(rounded_BDT)
            total_BCT = total_BCT + is_used_B[:, None, None] * added_BCT
            left_BCT = left_BCT - added_BCT
            codes.append(codes_BT)
            seen.append(seen_BDT)
        return Quantised(
            total_BCT,
            torch.stack(codes, dim=1),
            commitment_B,
            codebook_B,
            tuple(seen),
        )

    def of_codes(self, codes_BLT: torch.Tensor) -> torch.Tensor:
        """What codes stand for, (B, C, T): of all codebooks, or of the first that there are."""
        parts = [
            book.back(book.entries_of(codes_BT))
            for book, codes_BT in zip(self._in_order, codes_BLT.unbind(1), strict=False)
        ]
        return torch.stack(parts).sum(0)


def _distance(one_BDT: torch.Tensor, other_BDT: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of each clip: (B,)."""
    return (one_BDT - other_BDT).square().mean(dim=(1, 2))
