"""A micro model and two samples that differ in nothing but their chords, for tests."""

import torch

from tests.training.condition_labels import beats, chords
from tests.training.munet.contexts import MICRO, tokens
from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.nets import NetConfig
from training.objectives import ObjectiveConfig
from training.objectives.diffusion import DiffusionConfig

FRAMES, BANDS = 12, 4
EMPTY_TEXT = tokens(1, 8, MICRO.text_width, seed=4, known=1)


def model(config: NetConfig = MICRO, objective: ObjectiveConfig | None = None) -> LatentDiffusion:
    torch.manual_seed(0)
    return LatentDiffusion(config, objective or DiffusionConfig())


def conditions(*names: tuple[str, ...]) -> Conditions:
    """One sample per tuple of chords, all with the same text and beats."""
    one = tokens(1, 16, MICRO.text_width, seed=5, known=9)
    text = Tokens(one.states_BLD.expand(len(names), -1, -1), one.mask_BL.expand(len(names), -1))
    played = [beats((0.0, 1), (0.5, 2), (1.0, 3)) for _ in names]
    return Conditions(
        text, batched_beats(played), batched_chords([chords(*row, each_s=0.5) for row in names])
    )


def times(*steps: int) -> torch.Tensor:
    """Times of steps of a diffusion in a thousand."""
    return (torch.tensor(steps) + 0.5) / 1000


TWO = conditions(("C", "F", "G"), ("A:min", "D:min"))


def latents(rows: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        rows, MICRO.latent_channels, FRAMES, BANDS, generator=torch.Generator().manual_seed(seed)
    )
