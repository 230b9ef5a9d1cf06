"""Micro nets and their conditions, for tests."""

import torch

from training.conditions import Condition
from training.conditions.tokens import Context, Tokens
from training.munet.config import MuNetConfig
from training.munet.net import MuNet

MICRO = MuNetConfig(
    latent_channels=4,
    widths=(32, 64),
    attended=(True, False),
    layers=1,
    head_width=16,
    norm_groups=8,
    text_width=24,
    control_width=16,
    frame_rate_hz=8.0,
)


def net(config: MuNetConfig = MICRO, seed: int = 0, checkpointing: bool = False) -> MuNet:
    """A net that has trained, as far as its zeros go: small random numbers stand for them."""
    torch.manual_seed(seed)
    made = MuNet(config, checkpointing=checkpointing).eval()
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return made


def tokens(
    rows: int,
    length: int,
    width: int,
    seed: int,
    known: int | None = None,
    each_s: float | None = None,
) -> Tokens:
    """Random tokens, of which the first `known` stand, `each_s` seconds from one to the next."""
    states = torch.randn(rows, length, width, generator=torch.Generator().manual_seed(seed))
    times_s = None if each_s is None else (torch.arange(length) * each_s).expand(rows, -1)
    return Tokens(states, (torch.arange(length) < (known or length)).expand(rows, -1), times_s)


def context(config: MuNetConfig = MICRO, rows: int = 2) -> Context:
    """A text of nine tokens, seven beats, three chords."""
    return {
        Condition.TEXT: tokens(rows, 9, config.text_width, 1),
        Condition.BEATS: tokens(rows, 7, config.control_width, 2, each_s=0.25),
        Condition.CHORDS: tokens(rows, 3, config.control_width, 3, each_s=0.5),
    }


def noisy(rows: int = 2, frames: int = 12, bands: int = 4, channels: int = 4) -> torch.Tensor:
    return torch.randn(rows, channels, frames, bands, generator=torch.Generator().manual_seed(9))


STEPS = torch.tensor([10, 700])
