"""A small network that reads a clip beat by beat: which are downbeats, in which meter, and are
these the beats that a listener would tap.

madmom's networks hear accents; this one also sees where harmony and bass change, and what sounds
between the beats. Trained by `training/annotator_training` on practice pieces.

Shapes: B sequences, N beats, F features, T frames (100 a second for accents, 10 for harmony), C
channels.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pipelines.annotators.harmony import NO_CHORD_CLASS, QUALITIES, Floats, HarmonyActivations
from pipelines.annotators.pitch_spectrum import FPS as HARMONY_FPS

METERS: Final = (2, 3, 4)  # that the network was trained on
ACCENT_FPS: Final = 100
# bass and kick; left hand; voices; snare; cymbals
FLUX_EDGES_HZ: Final = (120.0, 300.0, 1200.0, 5000.0)
FEATURES: Final = 20 + 2 * (len(FLUX_EDGES_HZ) + 1)
_NETWORKS: Final = 4
_CHANNELS: Final = 32
_DILATIONS: Final = (1, 2, 3, 4, 6, 8)
_REACH: Final = 4  # accent frames: a beat may be detected 40 ms early or late
_LEAST_S: Final = 0.2  # harmony on either side of a beat is averaged over two frames at least
_FLOOR: Final = 1e-3


class Accents(NamedTuple):
    """Activations of one clip, 100 frames a second."""

    activations: Floats  # (T, 2) probability of a beat that is not a downbeat, and of a downbeat
    flux: Floats  # (T, 5) how much the spectrum rises, low to high bands


class BarLogits(NamedTuple):
    """What the network says of sequences of beats."""

    downbeat: torch.Tensor  # (B, N)
    meter: torch.Tensor  # (B, 3) of `METERS`
    right: torch.Tensor  # (B,): these are the beats, not every other or twice as many


class BarNet(nn.Module):
    """Dilated convolutions along the beats."""

    mean_F: torch.Tensor
    spread_F: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(FEATURES))
        self.register_buffer("spread_F", torch.ones(FEATURES))
        self.enter = nn.Conv1d(FEATURES, _CHANNELS, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(_CHANNELS, _CHANNELS, 3, padding=size, dilation=size) for size in _DILATIONS
        )
        self.drop = nn.Dropout(0.2)
        self.downbeat = nn.Conv1d(_CHANNELS, 1, 1)
        self.whole = nn.Linear(2 * _CHANNELS, len(METERS) + 1)

    def forward(self, features_BNF: torch.Tensor) -> BarLogits:
        """Logits of sequences of equal length, (B, N, F)."""
        x_BCN = torch.relu(
            self.enter(((features_BNF - self.mean_F) / self.spread_F).transpose(1, 2))
        )
        for layer in self.layers:
            x_BCN = x_BCN + self.drop(torch.relu(layer(x_BCN)))
        whole = self.whole(torch.cat([x_BCN.mean(dim=2), x_BCN.amax(dim=2)], dim=1))
        return BarLogits(self.downbeat(x_BCN)[:, 0], whole[:, : len(METERS)], whole[:, len(METERS)])


class BarNets(nn.Module):
    """Several networks trained from different beginnings; their logits are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleList(BarNet() for _ in range(_NETWORKS))

    def forward(self, features_BNF: torch.Tensor) -> BarLogits:
        """Mean logits of sequences of equal length, (B, N, F)."""
        outputs = [network(features_BNF) for network in self.networks]
        return BarLogits(*(torch.stack(part).mean(dim=0) for part in zip(*outputs, strict=True)))


def bar_phases(meters: Sequence[int]) -> list[tuple[int, int]]:
    """Where bar lines may fall: each meter with the number of the first downbeat."""
    return [(meter, first) for meter in meters for first in range(meter)]


def phase_scores(logits: BarLogits, meters: Sequence[int]) -> torch.Tensor:
    """Log odds of each phase, (B, phases), by the logits of the beats on its bar lines and the log
    probability of its meter.

    A logit is log p - log (1 - p): the log likelihood of a phase, less what all phases share, is
    the sum of the logits on its bar lines. A meter that the network was not trained on gets no log
    probability.
    """
    count, logs_BM = torch.arange(logits.downbeat.shape[1]), logits.meter.log_softmax(dim=-1)
    scores = [
        logits.downbeat[:, (count - first) % meter == 0].sum(dim=1)
        + (logs_BM[:, METERS.index(meter)] if meter in METERS else 0.0)
        for meter, first in bar_phases(meters)
    ]
    return torch.stack(scores, dim=1)


def bar_features(
    accents: Accents,
    harmony: HarmonyActivations,
    beats_s: npt.NDArray[np.float64],
    tracked_downbeat: Floats,
) -> Floats:
    """Features (N, F) of two beats or more; `tracked_downbeat` is 1 at the tracker's downbeats."""
    gaps_s = np.diff(beats_s, append=2 * beats_s[-1] - beats_s[-2])
    middles_s = beats_s + gaps_s / 2
    on, off = (_loudest(accents.activations, times) for times in (beats_s, middles_s))
    reach = np.column_stack(
        [
            _loudest(harmony.change[:, None], times, HARMONY_FPS, 1)[:, 0]
            for times in (beats_s, middles_s)
        ]
    )
    chord = np.exp(harmony.chord)
    roots = chord[:, :NO_CHORD_CLASS].reshape(-1, 12, len(QUALITIES)).sum(axis=2)
    moved = [
        _moved(part, times, gaps_s)
        for times in (beats_s, middles_s)
        for part in (chord, roots, np.exp(harmony.bass))
    ]
    columns = [
        on,
        off,
        downbeat_odds(accents, beats_s)[:, None],
        np.log(
            (on.sum(axis=1, keepdims=True) + _FLOOR) / (off.sum(axis=1, keepdims=True) + _FLOOR)
        ),
        reach,
        *(column[:, None] for column in moved),
        _alternation(on.sum(axis=1))[:, None],
        _alternation(reach[:, 0])[:, None],
        np.log(gaps_s)[:, None],
        tracked_downbeat[:, None],
        (np.arange(len(beats_s)) == 0)[:, None],
        np.full((len(beats_s), 1), np.log(len(beats_s))),
        np.log1p(_loudest(accents.flux, beats_s)),
        np.log1p(_loudest(accents.flux, middles_s)),
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def downbeat_odds(accents: Accents, beats_s: npt.NDArray[np.float64]) -> Floats:
    """Log odds of each beat to be a downbeat by madmom's networks alone, (N,)."""
    on = _loudest(accents.activations, beats_s)
    odds: Floats = np.log((on[:, 1] + _FLOOR) / (on[:, 0] + _FLOOR))
    return odds


def _alternation(strength: Floats) -> Floats:
    """Each beat's strength less the mean of its neighbours'."""
    padded = np.pad(strength, 1, mode="edge")
    difference: Floats = strength - (padded[:-2] + padded[2:]) / 2
    return difference


def _loudest(
    activations: Floats,
    times_s: npt.NDArray[np.float64],
    fps: float = ACCENT_FPS,
    reach: int = _REACH,
) -> Floats:
    """The largest value within `reach` frames of each time, (N, columns)."""
    frames = np.round(times_s * fps).astype(int)[:, None] + np.arange(-reach, reach + 1)
    loudest: Floats = activations[frames.clip(0, len(activations) - 1)].max(axis=1)
    return loudest


def _moved(
    activations: Floats, times_s: npt.NDArray[np.float64], gaps_s: npt.NDArray[np.float64]
) -> Floats:
    """How far the activations in the beat after each time differ from the beat before it: half the
    sum of absolute differences, (N,).
    """
    sums = np.concatenate([np.zeros((1, activations.shape[1])), np.cumsum(activations, axis=0)])
    size = np.maximum(np.round(gaps_s * HARMONY_FPS), _LEAST_S * HARMONY_FPS).astype(int)
    middle = np.round(times_s * HARMONY_FPS).astype(int)

    def mean(start: npt.NDArray[np.intp], end: npt.NDArray[np.intp]) -> Floats:
        first, last = start.clip(0, len(activations) - 1), end.clip(1, len(activations))
        average: Floats = (sums[last] - sums[first]) / np.maximum(last - first, 1)[:, None]
        return average

    distance: Floats = (
        np.abs(mean(middle, middle + size) - mean(middle - size, middle)).sum(axis=1) / 2
    )
    return distance
