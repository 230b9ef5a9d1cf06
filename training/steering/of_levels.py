"""The same of spectrograms of the codec `mel`, without playing them: nearer to a latent, coarser,
and many times cheaper.

Shapes: B clips, M mel bands, L mel frames, N frames at 10 Hz, P = 12 pitch classes.
"""

from functools import lru_cache
from typing import Final

import torch

from pipelines.audio.controls import TOP_HZ
from pipelines.codecs.mel import HOP, RATE_HZ, MelCodec
from schemas.controls import CONTROL_RATE_HZ, NO_PITCH
from training.steering.of_waves import high_passed

_COEFFICIENTS: Final = 13  # the first says how loud it is, and is left out
_LEAST_HZ: Final = 400.0  # below, bands are wider than semitones are apart
_NOTHING: Final = 1e-12  # so that the root has a slope in silence
_SHARP: Final = 2.0  # a band counts by this power of its amplitude: peaks before flanks


def power_of_levels(levels_BML: torch.Tensor) -> torch.Tensor:
    """Mean square of the wave in each frame, about: (B, N)."""
    codec = MelCodec()
    squares_BML = codec.amplitudes(levels_BML).square()
    power_BL = torch.einsum("bml,m->bl", squares_BML, codec.power_weights().to(levels_BML))
    return power_BL @ _shares(levels_BML.shape[2]).to(levels_BML)


def chroma_of_levels(levels_BML: torch.Tensor) -> torch.Tensor:
    """How much of each pitch class is in the bands above middle C: (B, N, P)."""
    amplitudes_BML = MelCodec().amplitudes(levels_BML)
    classes_MP = _classes().to(levels_BML)
    chroma = torch.einsum("bml,mp->blp", amplitudes_BML**_SHARP, classes_MP)
    frames = torch.einsum("blp,ln->bnp", chroma, _shares(levels_BML.shape[2]).to(levels_BML))
    return (frames + _NOTHING) ** (1 / _SHARP)


def onset_strength_of_levels(levels_BML: torch.Tensor) -> torch.Tensor:
    """How much all bands rise from one mel frame to the next, on average, in dB: (B, L)."""
    level = 20 * torch.log10(MelCodec().amplitudes(levels_BML))
    wide = level.maximum(level.roll(1, 1)).maximum(level.roll(-1, 1))
    rise = (level[..., 1:] - wide[..., :-1]).clamp(min=0).mean(1)
    return torch.nn.functional.pad(rise, (1, 0))


def cepstra_of_levels(levels_BML: torch.Tensor) -> torch.Tensor:
    """Cepstral coefficients of each frame but the first, (B, N, 12): the orthonormal cosine
    transform of levels.
    """
    bands = levels_BML.shape[1]
    middles = (torch.arange(bands, dtype=torch.float64) + 0.5) / bands
    order = torch.arange(1, _COEFFICIENTS, dtype=torch.float64)
    cosines_KM = (2 / bands) ** 0.5 * torch.cos(torch.pi * order[:, None] * middles)
    levels_BMN = levels_BML @ _shares(levels_BML.shape[2]).to(levels_BML)
    return torch.einsum("km,bmn->bnk", cosines_KM.to(levels_BML), levels_BMN)


@lru_cache(maxsize=16)
def _shares(frames: int) -> torch.Tensor:
    """How much of each frame at 10 Hz is of each mel frame, (L, N): 1 in sum over L.

    A mel frame stands for the hop around its middle.
    """
    count = -(-frames * HOP * CONTROL_RATE_HZ // RATE_HZ)
    edges = (torch.arange(frames + 1, dtype=torch.float64) - 0.5) * HOP / RATE_HZ
    edges[0], edges[-1] = 0.0, frames * HOP / RATE_HZ
    starts = torch.arange(count, dtype=torch.float64) / CONTROL_RATE_HZ
    ends = starts + 1 / CONTROL_RATE_HZ
    shared = torch.minimum(edges[1:, None], ends) - torch.maximum(edges[:-1, None], starts)
    shared_LN = shared.clamp(min=0)
    return shared_LN / shared_LN.sum(0)


@lru_cache(maxsize=1)
def _classes() -> torch.Tensor:
    """What a band adds to each pitch class, (M, P): a triangle of a semitone around each."""
    hertz = MelCodec().centres_hz().double()
    pitch = 69 + 12 * torch.log2(hertz / 440)
    away = (pitch[:, None] - torch.arange(NO_PITCH) + NO_PITCH / 2) % NO_PITCH - NO_PITCH / 2
    heard = high_passed(hertz) * (hertz > _LEAST_HZ) * (hertz < TOP_HZ)
    return (1 - away.abs()).clamp(min=0) * heard[:, None]
