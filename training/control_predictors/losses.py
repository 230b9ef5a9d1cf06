"""What predictors get wrong: losses of looks, and of the songs of a validation split.

Shapes: B looks, K classes, C chords of a sequence.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from training.conditions.tokens import Tokens
from training.control_predictors.nets import PredictedPart, PredictorNets
from training.control_predictors.visits import NOT_LEARNED, Look, LookBatch, batched
from training.diffusion.text_encoder import TextCache

_AT_ONCE: Final = 64

SongLosses = Mapping[str, float]  # by song


class LookLosses(NamedTuple):
    """The loss of each look, and whether it counts: at least one does."""

    losses_B: torch.Tensor
    counts_B: torch.Tensor

    def mean(self) -> torch.Tensor:
        """Over those that count."""
        return (self.losses_B * self.counts_B).sum() / self.counts_B.sum()


def look_losses(
    nets: PredictorNets, text: Tokens, batch: LookBatch
) -> dict[PredictedPart, LookLosses]:
    """Losses of each predictor for which any look of a batch counts."""
    no_hints_BH = batch.meter_hints_BH[:, :0]  # a mode has no hints
    next_BCK, length_BCK = nets.chords(text, batch.chord_hints_BH, batch.chords)
    found = {
        PredictedPart.METER: _of_classes(nets.meter(text, batch.meter_hints_BH), batch.meters_B),
        PredictedPart.TEMPO: LookLosses(
            cross_entropy(
                nets.tempo(text, batch.tempo_hints_BH), batch.tempos_BK, reduction="none"
            ),
            batch.tempos_BK.sum(1) > 0,
        ),
        PredictedPart.MODE: _of_classes(nets.mode(text, no_hints_BH), batch.modes_B),
        PredictedPart.CHORDS: LookLosses(
            _of_sequences(next_BCK, batch.next_BC) + _of_sequences(length_BCK, batch.lengths_BC),
            (batch.next_BC != NOT_LEARNED).any(1),
        ),
    }
    return {part: one for part, one in found.items() if one.counts_B.any()}


def _of_classes(logits_BK: torch.Tensor, targets_B: torch.Tensor) -> LookLosses:
    return LookLosses(
        cross_entropy(logits_BK, targets_B, reduction="none", ignore_index=NOT_LEARNED),
        targets_B != NOT_LEARNED,
    )


def _of_sequences(logits_BCK: torch.Tensor, targets_BC: torch.Tensor) -> torch.Tensor:
    """The mean loss over each sequence: (B,); zero where nothing of it is learned."""
    losses_BC = cross_entropy(
        logits_BCK.transpose(1, 2), targets_BC, reduction="none", ignore_index=NOT_LEARNED
    )
    return losses_BC.sum(1) / (targets_BC != NOT_LEARNED).sum(1).clamp(min=1)


class Judged:
    """Looks that judge nets and are never learned from."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self.looks = len(looks)
        parts = [looks[start : start + _AT_ONCE] for start in range(0, len(looks), _AT_ONCE)]
        self._batches = [(batched(part), _songs(part)) for part in parts]

    @torch.no_grad()
    def losses(self, nets: PredictorNets, states: TextCache) -> dict[PredictedPart, SongLosses]:
        """Mean loss of each song by each predictor; of a predictor no song where none counts."""
        nets.eval()
        found: dict[PredictedPart, defaultdict[str, list[float]]] = {
            part: defaultdict(list) for part in PredictedPart
        }
        for batch, songs in self._batches:
            for part, (losses_B, counts_B) in look_losses(
                nets, states.encode(batch.prompts), batch
            ).items():
                for song, loss, is_counted in zip(
                    songs, losses_B.tolist(), counts_B.tolist(), strict=True
                ):
                    if is_counted:
                        found[part][song].append(loss)
        return {part: _means(by_song) for part, by_song in found.items()}


def _songs(looks: Sequence[Look]) -> list[str]:
    return [look.song_id for look in looks]


def _means(by_song: Mapping[str, list[float]]) -> SongLosses:
    return {song: fmean(losses) for song, losses in by_song.items()}
