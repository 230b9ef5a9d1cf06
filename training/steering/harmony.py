"""Chords and beats as losses: none of the papers that steer by optimised noise has them.

Shapes: B samples, N frames at 10 Hz, P = 12 pitch classes, R frames of onset strength.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import torch

from schemas.controls import CONTROL_RATE_HZ, NO_PITCH
from schemas.labels import ChordSegment
from training.errors import TrainingError
from training.steering.listening import Ear
from training.steering.losses import SteerLoss

_PULSE_S: Final = 0.04  # spread of an asked beat: a hit counts within 70 ms
_DOWNBEAT: Final = 2.0  # how much stronger it is asked for than another beat
_BETWEEN: Final = 0.5  # what half a beat may have, for nobody asks that nothing begins there


def chord_tones(segments: Sequence[ChordSegment], frames: int) -> torch.Tensor:
    """The tones of the chord in the middle of each frame, (N, P): 1 in sum, 0 where there is none.

    >>> chord_tones([ChordSegment(start_s=0, end_s=0.1, label="A:min")], 2)[:, [0, 4, 9]].tolist()
    [[0.3333333432674408, 0.3333333432674408, 0.3333333432674408], [0.0, 0.0, 0.0]]
    """
    tones_NP = torch.zeros(frames, NO_PITCH)
    middles_N = (torch.arange(frames) + 0.5) / CONTROL_RATE_HZ
    for one in segments:
        if one.chord:
            inside_N = (middles_N >= one.start_s) & (middles_N < one.end_s)
            pitches = sorted(one.chord.pitches)
            vector_P = torch.zeros(NO_PITCH)
            vector_P[pitches] = 1 / len(pitches)
            tones_NP[inside_N] = vector_P
    return tones_NP


def harmony(ear: Ear, tones_NP: torch.Tensor) -> SteerLoss:
    """How far pitch classes are from tones that sound evenly, over frames with any: the mean of
    Kullback and Leibler's divergence, 0 where just these sound.
    """

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        chroma_BNP = ear.chroma(latents_BCTF)
        if len(tones_NP) != chroma_BNP.shape[1]:
            raise TrainingError(
                f"chords are asked for in {len(tones_NP)} frames of {1 / CONTROL_RATE_HZ:g} s, and "
                f"the piece has {chroma_BNP.shape[1]}"
            )
        wanted_NP = tones_NP.to(chroma_BNP)
        share_BNP = chroma_BNP / (chroma_BNP.sum(2, keepdim=True) + 1e-6)
        surprise_BN = -(wanted_NP * (share_BNP + 1e-6).log()).sum(2)
        least_N = torch.special.entr(wanted_NP).sum(1)
        asked_N = wanted_NP.sum(1) > 0
        far_B: torch.Tensor = ((surprise_BN - least_N) * asked_N).sum(1)
        return far_B / asked_N.sum().clamp(min=1)

    return loss


def beat_pulses(
    times_s: Sequence[float], downbeats_s: Sequence[float], frames: int, rate_hz: float
) -> torch.Tensor:
    """How strongly something is asked to begin in each frame, (R,): a bump at each beat, a higher
    one at downbeats, a low one half-way between two.
    """
    at_R = torch.arange(frames) / rate_hz
    wide_s = max(_PULSE_S, 0.5 / rate_hz)  # or beats would fall between frames
    strong = frozenset(downbeats_s)
    halves_s = [(one + other) / 2 for one, other in pairwise(times_s)]
    bumps = [(one, _DOWNBEAT if one in strong else 1.0) for one in times_s]
    bumps += [(one, _BETWEEN) for one in halves_s]
    pulses_R = torch.zeros(frames)
    for time_s, height in bumps:
        pulses_R = pulses_R.maximum(height * torch.exp(-0.5 * ((at_R - time_s) / wide_s).square()))
    return pulses_R


def beat_grid_loss(
    ear: Ear, times_s: Sequence[float], downbeats_s: Sequence[float], duration_s: float
) -> SteerLoss:
    """Pearson's correlation of onset strength with an asked grid, negative: from -1, where all
    begins on its beats, to 1. Raises `TrainingError` for fewer than two beats.
    """
    if len(times_s) < 2:
        raise TrainingError(f"a grid of {len(times_s)} beats: ask for two or more")

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        heard_BR = ear.onset_strength(latents_BCTF)
        frames = heard_BR.shape[1]
        wanted_R = beat_pulses(times_s, downbeats_s, frames, frames / duration_s).to(heard_BR)
        both = [one - one.mean(-1, keepdim=True) for one in (heard_BR, wanted_R)]
        return -torch.nn.functional.cosine_similarity(both[0], both[1].expand_as(both[0]), dim=1)

    return loss
