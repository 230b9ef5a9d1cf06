"""A codec whose weights lie on another device than what is read from files."""

import torch

from pipelines.codecs import Codec, CodecFacts


class CodecElsewhere:
    """Refuses waves that are not on its device, as weights on a GPU do; of others each number of
    their latents is a half.
    """

    def __init__(self, like: Codec) -> None:
        self.facts: CodecFacts = like.facts
        self.device = torch.device("meta")

    def encode(self, waves: torch.Tensor) -> torch.Tensor:
        """Latents of the right shape."""
        if waves.device != self.device:
            raise RuntimeError(f"waves on {waves.device}, weights on {self.device}")
        frames = self.facts.frames(waves.shape[-1])
        return torch.full((len(waves), self.facts.channels, frames, self.facts.bands), 0.5)

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Nothing asks for it."""
        raise AssertionError("latents were decoded")
