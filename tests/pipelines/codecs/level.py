"""A codec for tests of everything but codecs: the level of each 1000 samples at 8 kHz; fails under
a length in seconds, its `source`.
"""

import torch

from pipelines.codecs import CodecFacts

RATE_HZ = 8000
HOP = 1000


class LevelCodec:
    def __init__(self, shortest_s: float) -> None:
        self._shortest_s = shortest_s

    @property
    def facts(self) -> CodecFacts:
        return CodecFacts(
            name="level",
            version="1",
            licence="CC0-1.0",
            rate_hz=RATE_HZ,
            channels=1,
            bands=1,
            samples_per_frame=HOP,
        )

    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        frames = self.facts.frames(waves_BS.shape[1])
        filled = torch.nn.functional.pad(waves_BS, (0, frames * HOP - waves_BS.shape[1]))
        level_BT = filled.reshape(len(waves_BS), frames, HOP).square().mean(2).sqrt()
        if waves_BS.shape[1] < self._shortest_s * RATE_HZ:
            level_BT = level_BT / 0
        return level_BT[:, None, :, None]

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        return latents_BCTF[:, 0, :, 0].repeat_interleave(HOP, dim=1)


def open_codec(source: str = "", device: str = "cpu") -> LevelCodec:
    return LevelCodec(float(source or 0))
