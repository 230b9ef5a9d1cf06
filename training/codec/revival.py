"""Entries of codebooks that no frame takes any more begin anew where frames lie.

As drawn, entries lie anywhere, and what an untrained encoder gives lies close together: all frames
take one entry, the decoder is told nothing, and that never changes. So entries that are idle for
long are put where a frame of the step's lies, all of them at first (Z. Borsos et al., SoundStream,
2021, arXiv 2107.03312, begin likewise; P. Dhariwal et al., Jukebox, 2020, arXiv 2005.00341, restart
what is idle).

Shapes: B clips of a micro-batch, L codebooks, N entries, D their dimensions, T latent frames, S all
frames of a step over all processes, C entries that may begin anew in one step.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

import torch
from torch import nn

from pipelines.codecs.residual_codes import Codebook, Quantised, ResidualCodebooks
from pipelines.codecs.wave_shape import RvqBottleneck
from training.data.loading import BatchShare
from training.run.parallel import World

_IDLE: Final = 8.0  # times as many frames as there are entries
_SPREAD: Final = 0.618034  # successive multiples of it, modulo 1, are far apart


class TakenEntries(NamedTuple):
    """What the codebooks saw of a micro-batch, and took."""

    seen_BLDT: torch.Tensor
    codes_BLT: torch.Tensor
    frames_B: torch.Tensor  # of each clip that count

    @classmethod
    def of(cls, found: Quantised, frames_B: torch.Tensor) -> "TakenEntries":
        """Of a micro-batch that went through codebooks."""
        seen_BLDT = torch.stack([one.detach().float() for one in found.seen], dim=1)
        return cls(seen_BLDT, found.codes_BLT, frames_B)


class Revival(nn.Module):
    """How many frames each entry has been idle for."""

    def __init__(self, rules: RvqBottleneck) -> None:
        super().__init__()
        self._limit = _IDLE * rules.entries
        # nothing learns it, but checkpoints hold it; at first all are idle
        self.idle_LN = nn.Parameter(
            torch.full((rules.books, rules.entries), self._limit + 1), requires_grad=False
        )

    @torch.no_grad()
    def revive(
        self,
        entries: Sequence[Sequence[torch.Tensor]],
        taken: Sequence[TakenEntries],
        share: BatchShare,
        world: World,
    ) -> None:
        """After a step: put idle entries where frames of all its processes lie.

        `entries` are of each codebook its entries (N, D), and whatever else is to move with them.
        Nothing waits for the device; processes do the same to the bit.
        """
        used_LN, seen_LSD, counts_S = self._over_processes(taken, share, world)
        self.idle_LN.copy_(
            torch.where(used_LN > 0, torch.zeros_like(used_LN), self.idle_LN + counts_S.sum())
        )
        order_S = _spread(len(counts_S), counts_S.device)
        # frames that count come first
        order_S = order_S[counts_S[order_S].argsort(descending=True, stable=True)]
        most = min(len(order_S), self.idle_LN.shape[1])
        chosen_C = order_S[:most]
        is_idle_LN = self.idle_LN > self._limit
        places_LC = is_idle_LN.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        begins_LC = is_idle_LN.gather(1, places_LC) & (counts_S[chosen_C] > 0)
        self.idle_LN.scatter_(
            1, places_LC, self.idle_LN.gather(1, places_LC).masked_fill(begins_LC, 0.0)
        )
        for number, kept in enumerate(entries):
            begins_C1, places_C = begins_LC[number][:, None], places_LC[number]
            for values_ND in kept:
                moved_CD = torch.where(begins_C1, seen_LSD[number][chosen_C], values_ND[places_C])
                values_ND.index_copy_(0, places_C, moved_CD.to(values_ND.dtype))

    def _over_processes(
        self, taken: Sequence[TakenEntries], share: BatchShare, world: World
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """How often each entry was taken (L, N), what was seen (L, S, D), and which frames count
        (S,): those of usable clips that are numbers.
        """
        _, books, width, frames = taken[0].seen_BLDT.shape
        entries = self.idle_LN.shape[1]
        used_LN = torch.zeros_like(self.idle_LN)
        seen = used_LN.new_zeros(share.batch, frames, books, width)
        counts = used_LN.new_zeros(share.batch, frames)
        for part, one in enumerate(taken):
            clips = share.positions(0, part)
            where = slice(clips.start, clips.stop)
            is_real_BT = one.seen_BLDT.isfinite().all(dim=(1, 2)) & (
                torch.arange(frames, device=seen.device) < one.frames_B[:, None]
            )
            counts[where] = is_real_BT.float()
            seen[where] = one.seen_BLDT.nan_to_num(0.0, 0.0, 0.0).permute(0, 3, 1, 2)
            flat = one.codes_BLT.transpose(0, 1).flatten(1)
            used_LN.scatter_add_(1, flat, is_real_BT.flatten().expand(books, -1).to(used_LN))
        sums = world.summed(torch.cat([used_LN.flatten(), counts.flatten(), seen.flatten()]))
        used, count, rest = torch.split(sums, [books * entries, counts.numel(), seen.numel()])
        seen_SLD = rest.reshape(-1, books, width)
        return used.reshape(books, entries), seen_SLD.transpose(0, 1), count


def _spread(count: int, device: torch.device) -> torch.Tensor:
    """An order in which neighbours lie far apart.

    >>> _spread(5, torch.device("cpu")).tolist()
    [0, 2, 4, 1, 3]
    """
    return ((torch.arange(count, device=device) * _SPREAD) % 1).argsort()


def entries_of(books: ResidualCodebooks) -> list[torch.Tensor]:
    """Of each codebook its entries."""
    return [cast("Codebook", book).entries.weight for book in books.books]
