"""Waves as files have them, (S,) or (S, 2), and as codecs take them, (B, S) or (B, 2, S).

Shapes: B clips, A channels, S samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import pad

from pipelines.audio.decode import Wave, downmixed
from pipelines.errors import PipelineError
from schemas.codec import CodecFacts


def with_channels(wave: Wave, facts: CodecFacts) -> Wave:
    """A wave with as many channels as a codec has: one on both sides, or two as one.

    >>> shape = dict(rate_hz=8000, channels=1, bands=1, samples_per_frame=1, wave_channels=2)
    >>> stereo = CodecFacts(name="x", version="1", licence="CC0", **shape)
    >>> with_channels(np.float32([0.5, 0.25]), stereo).tolist()
    [[0.5, 0.5], [0.25, 0.25]]
    """
    if wave.ndim == facts.wave_channels:  # (S,) of one channel, (S, 2) of two
        return wave
    return downmixed(wave)[0] if wave.ndim == 2 else np.stack([wave, wave], axis=1)


def for_codec(waves: Sequence[Wave]) -> torch.Tensor:
    """Waves of files, alike in length and channels, as a codec takes them."""
    return torch.from_numpy(np.ascontiguousarray(np.stack([wave.T for wave in waves])))


def for_files(waves: torch.Tensor) -> list[Wave]:
    """What a codec plays, as files have it."""
    return [np.ascontiguousarray(wave.T) for wave in waves.float().cpu().numpy()]


def by_channel(waves: torch.Tensor) -> torch.Tensor:
    """What a codec takes or plays with an axis of channels, one or two: (B, A, S)."""
    return waves[:, None] if waves.dim() == 2 else waves


def mono(waves: torch.Tensor) -> torch.Tensor:
    """What a codec plays as one channel, (B, S), the mean of both; gradients pass."""
    return waves if waves.dim() == 2 else waves.mean(1)


def whole_frames(waves: torch.Tensor, facts: CodecFacts) -> torch.Tensor:
    """Waves, their last axis S, that are silent where a codec's last frame is not full.

    >>> shape = dict(rate_hz=8000, channels=1, bands=1, samples_per_frame=2)
    >>> whole_frames(torch.ones(1, 3), CodecFacts(name="x", version="1", licence="CC0", **shape))
    tensor([[1., 1., 1., 0.]])
    """
    samples = waves.shape[-1]
    return pad(waves, (0, facts.frames(samples) * facts.samples_per_frame - samples))


def without_bands(latents_BCTF: torch.Tensor, channels: int) -> torch.Tensor:
    """Latents (B, C, T) of a codec that has so many channels, and one band.

    Raises `PipelineError` for latents of another shape.
    """
    found, bands = latents_BCTF.shape[1], latents_BCTF.shape[3]
    if (found, bands) != (channels, 1):
        raise PipelineError(
            f"latents of {found} channels and {bands} bands are not this codec's: it has "
            f"{channels} and 1"
        )
    return latents_BCTF[..., 0].float()
