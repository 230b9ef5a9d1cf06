"""Codes filled in, in rounds: all that are masked are drawn, and the surest of them stay.

H. Chang et al., "MaskGIT", 2022 (arXiv 2202.04200): after each round as many codes are masked as
the cosine schedule leaves. Coarse books first, by themselves; then all finer ones, given these.

Shapes: B clips, L codebooks, T latent frames, M codes of a book, N entries of a codebook.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from schemas.identity import keyed_rng
from training.data.token_masks import cosine_share
from training.samplers.rounds_config import RoundsConfig
from training.tokens.net import ShownCodes, TokenConditions, TokenNet


class GuidedConditions(NamedTuple):
    """What clips are asked for, and what stands for nothing: guidance leads away from that."""

    asked: TokenConditions
    unconditional: TokenConditions


class _Drawn(NamedTuple):
    """What was drawn for all masked codes, and how sure the net is of it; (B, L, T) both."""

    codes_BLT: torch.Tensor
    surety_BLT: torch.Tensor  # logarithms of chances


@torch.no_grad()
def filled(
    net: TokenNet,
    codes_BLT: torch.Tensor,
    kept_BLT: torch.Tensor,
    conditions: GuidedConditions,
    *,
    keys: Sequence[str],
    seed: int,
    rules: RoundsConfig,
) -> torch.Tensor:
    """Codes in which all that are not kept are played anew: (B, L, T). Kept ones stay as they are.

    Draws of a clip depend on its key and the seed: same arguments, same codes.
    """
    rngs = [keyed_rng(seed, key, "codes") for key in keys]
    made_BLT = codes_BLT.clone()
    is_finer_L1 = (torch.arange(net.codes.books) >= net.codes.coarse)[:, None]
    for is_fine, rounds in ((False, rules.coarse_rounds), (True, rules.fine_rounds)):
        level_L1 = (is_finer_L1 if is_fine else ~is_finer_L1).to(codes_BLT.device)
        finer_L1 = is_finer_L1.to(codes_BLT.device) & (not is_fine)  # hidden while coarse ones come
        masked_BLT = ~kept_BLT & level_L1
        first_B = masked_BLT.sum((1, 2))
        for number in range(1, rounds + 1):
            if not bool(masked_BLT.any()):
                break
            is_fine_B = torch.full((len(keys),), is_fine, device=codes_BLT.device)
            shown = ShownCodes(made_BLT, masked_BLT | finer_L1, is_fine_B, None)
            drawn = _drawn(net, shown, masked_BLT, conditions, rngs, rules)
            made_BLT = torch.where(masked_BLT, drawn.codes_BLT, made_BLT)
            left_B = (first_B * cosine_share(number / rounds)).floor().long()
            if number == rounds:
                left_B = torch.zeros_like(left_B)
            noise_BLT = _noise(rngs, made_BLT) * (rules.choice * (1 - number / rounds))
            masked_BLT = _least(drawn.surety_BLT + noise_BLT, masked_BLT, left_B)
    return made_BLT


def _drawn(
    net: TokenNet,
    shown: ShownCodes,
    masked_BLT: torch.Tensor,
    conditions: GuidedConditions,
    rngs: Sequence[np.random.Generator],
    rules: RoundsConfig,
) -> _Drawn:
    """An entry for each masked code, by its chance."""
    states_BTE = net.states(shown, conditions.asked)
    away_BTE = net.states(shown, conditions.unconditional) if rules.guidance != 1 else None
    chance_BLT = _uniform(rngs, masked_BLT)
    codes_BLT = torch.zeros_like(shown.codes_BLT)
    surety_BLT = torch.zeros_like(chance_BLT)
    for book in torch.nonzero(masked_BLT.any(2).any(0)).flatten().tolist():
        clips_M, frames_M = torch.nonzero(masked_BLT[:, book], as_tuple=True)
        logits_MN = net.logits(states_BTE[clips_M, frames_M], book).float()
        if away_BTE is not None:
            without_MN = net.logits(away_BTE[clips_M, frames_M], book).float()
            logits_MN = without_MN + rules.guidance * (logits_MN - without_MN)
        logs_MN = (logits_MN / rules.temperature).log_softmax(-1)
        found_M = drawn_entries(logs_MN.exp(), chance_BLT[clips_M, book, frames_M])
        codes_BLT[clips_M, book, frames_M] = found_M
        surety_BLT[clips_M, book, frames_M] = logs_MN.gather(1, found_M[:, None])[:, 0]
    return _Drawn(codes_BLT, surety_BLT)


def drawn_entries(chances_MN: torch.Tensor, draws_M: torch.Tensor) -> torch.Tensor:
    """The entry that each draw from 0 to 1 stands for, where entries lie side by side, each as wide
    as its chance: (M,).

    >>> drawn_entries(torch.tensor([[0.5, 0.25, 0.25]]).expand(3, 3), torch.tensor([0.4, 0.6, 1.0]))
    tensor([0, 1, 2])
    """
    ends_MN = chances_MN.cumsum(-1)
    found_M = torch.searchsorted(ends_MN, (draws_M * ends_MN[:, -1])[:, None], right=True)[:, 0]
    return found_M.clamp(max=chances_MN.shape[1] - 1)


def _least(sure_BLT: torch.Tensor, masked_BLT: torch.Tensor, left_B: torch.Tensor) -> torch.Tensor:
    """Of the masked codes those that stay masked: so many of each clip, the least sure."""
    order_BM = sure_BLT.masked_fill(~masked_BLT, torch.inf).flatten(1)
    ranks_BM = order_BM.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    return (ranks_BM < left_B[:, None]).view_as(masked_BLT) & masked_BLT


def _uniform(rngs: Sequence[np.random.Generator], like_BLT: torch.Tensor) -> torch.Tensor:
    drawn = np.stack([rng.random(like_BLT.shape[1:], dtype=np.float32) for rng in rngs])
    return torch.from_numpy(drawn).to(like_BLT.device)


def _noise(rngs: Sequence[np.random.Generator], like_BLT: torch.Tensor) -> torch.Tensor:
    """Gumbel's, by which the surest are drawn rather than chosen."""
    drawn = np.stack([rng.gumbel(size=like_BLT.shape[1:]) for rng in rngs]).astype(np.float32)
    return torch.from_numpy(drawn).to(like_BLT.device)
