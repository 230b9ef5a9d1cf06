"""Micro transformers and their conditions, for tests."""

import torch

from tests.training.munet.contexts import tokens
from training.conditions import Condition
from training.conditions.tokens import Context
from training.dit.config import DitConfig
from training.dit.net import Dit

MICRO = DitConfig(
    latent_channels=4,
    latent_bands=4,
    width=32,
    depth=2,
    head_width=16,
    text_width=24,
    control_width=16,
    rows=(Condition.CHORDS,),
    row_width=8,
    frame_rate_hz=8.0,
)
ROWS = 39  # of chords


def net(config: DitConfig = MICRO, *, checkpointing: bool = False) -> Dit:
    """A net that has trained, as far as its zeros go: small random numbers stand for them."""
    torch.manual_seed(0)
    made = Dit(config, checkpointing=checkpointing).eval()
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return made


def context(seed: int = 1) -> Context:
    """A text of nine tokens, seven beats, three chords."""
    return {
        Condition.TEXT: tokens(2, 9, MICRO.text_width, seed),
        Condition.BEATS: tokens(2, 7, MICRO.control_width, 2, each_s=0.25),
        Condition.CHORDS: tokens(2, 3, MICRO.control_width, 3, each_s=0.5),
    }
