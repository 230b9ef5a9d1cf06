"""Silence as a codec has it: what is learned behind the end of clips that are shorter than what is
learned at a time, where a recipe says so.

Shapes: C latent channels, T latent frames, F latent bands.
"""

import torch

from pipelines.codecs import Codec
from training.errors import TrainingError


def silent_latent(codec: Codec, frames: int, device: torch.device) -> torch.Tensor:
    """The latent of so many frames of silence: (C, T, F); `device` is the codec's.

    Raises `TrainingError` where the codec makes no numbers of silence.
    """
    facts = codec.facts
    samples = frames * facts.samples_per_frame
    shape = (1, samples) if facts.wave_channels == 1 else (1, 2, samples)
    with torch.no_grad():
        latent_CTF = codec.encode(torch.zeros(shape, device=device))[0].float().cpu()
    if not latent_CTF.isfinite().all():
        raise TrainingError(
            f"{facts.name} makes no latent of silence, which data.silence takes: set it to false"
        )
    return latent_CTF
