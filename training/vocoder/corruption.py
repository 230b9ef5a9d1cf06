"""Levels made worse, as those are that a model plays, so that a vocoder learns to play them well.

Noise and blur of spectrograms are Noise2Music's (Q. Huang et al., 2023, arXiv 2302.03917).

Shapes: B clips, M mel bands, N mel frames, D draws of a clip.
"""

from typing import Final

import torch
from pydantic import Field
from torch.nn.functional import pad

from schemas.record import Confidence, Record

DRAWS: Final = 2  # uniform ones of a clip: how much noise, how much blur
_REACH: Final = 2  # frames and bands to each side that blur takes in: 5 by 5


class LevelCorruption(Record):
    """How levels are made worse while learning."""

    share: Confidence = Field(
        0.5, description="Share of visits with noise, and of those with blur. 0: all stay clean."
    )
    noise: float = Field(
        0.15,
        ge=0,
        description=(
            "Most noise of a visit, in the levels' own unit of 15 dB. Noise2Music: up to all noise."
        ),
    )
    blur: float = Field(
        0.7,
        ge=0,
        description="Most blur of a visit, in frames and bands. Noise2Music: 0.2 to 1, 5 by 5.",
    )


def corrupted(
    levels_BMN: torch.Tensor,
    noise_BMN: torch.Tensor,
    draws_BD: torch.Tensor,
    rules: LevelCorruption,
) -> torch.Tensor:
    """Levels with blur, then noise, of each clip as much as is drawn for it.

    >>> levels, noise = torch.zeros(1, 3, 3), torch.ones(1, 3, 3)
    >>> rules = LevelCorruption(share=0.5, noise=0.2, blur=0.0)
    >>> [round(float(corrupted(levels, noise, torch.tensor([[draw, 0.0]]), rules)[0, 0, 0]), 3)
    ...     for draw in (0.5, 0.75, 1.0)]
    [0.0, 0.1, 0.2]
    """
    noise_B, blur_B = (_strength(draws_B, rules.share) for draws_B in draws_BD.unbind(1))
    blurred_BMN = _blurred(levels_BMN, rules.blur * blur_B)
    return blurred_BMN + (rules.noise * noise_B)[:, None, None] * noise_BMN


def _strength(draws_B: torch.Tensor, share: float) -> torch.Tensor:
    """From 0 to 1, evenly, of the highest share of draws; of all others 0."""
    return ((draws_B - (1 - share)) / max(share, 1e-6)).clamp(min=0)


def _blurred(levels_BMN: torch.Tensor, spread_B: torch.Tensor) -> torch.Tensor:
    """Weighed by a normal distribution over both axes."""
    offsets_5 = torch.arange(-_REACH, _REACH + 1, device=levels_BMN.device)
    weights_B5 = (-0.5 * (offsets_5 / spread_B.clamp(min=1e-3)[:, None]).square()).exp()
    weights_B5 = weights_B5 / weights_B5.sum(1, keepdim=True)
    for axis in (1, 2):
        beside = (_REACH, _REACH, 0, 0) if axis == 2 else (0, 0, _REACH, _REACH)
        wide = pad(levels_BMN, beside, mode="replicate")
        size = levels_BMN.shape[axis]
        parts = [
            weights_B5[:, part, None, None] * wide.narrow(axis, part, size)
            for part in range(2 * _REACH + 1)
        ]
        levels_BMN = torch.stack(parts).sum(0)
    return levels_BMN
