"""A UNet over samples, of convolutions alone, that is told a wave of a lower rate brought up to its
own, and how noisy that and its own wave are.

Noise2Music's refiners are such (Q. Huang et al., 2023, arXiv 2302.03917): what is given is stacked
with the noisy wave, and times act as a scale and a bias of each channel.

Shapes: B clips, S samples, G waves that are shown of what is given, W channels of a level, E
numbers of conditioning.
"""

import torch
from torch import nn
from torch.nn.functional import silu

from pipelines.codecs.wave_net import Snake
from training.conditions.embeddings import sinusoids
from training.upsampler.levels import GIVEN
from training.upsampler.shape import UpsamplerShape

_THOUSANDTHS = 1000.0  # that times are told in, as objectives' steps are


class ConditionedUnit(nn.Module):
    """Adds what a dilated convolution of seven taps finds, scaled and moved by the conditioning."""

    def __init__(self, width: int, conditioning: int, dilation: int) -> None:
        super().__init__()
        self.first, self.second = Snake(width), Snake(width)
        self.wide = nn.Conv1d(width, width, 7, dilation=dilation, padding=3 * dilation)
        self.narrow = nn.Conv1d(width, width, 1)
        self.conditioning = nn.Linear(conditioning, 2 * width)

    def forward(self, x_BWS: torch.Tensor, conditioning_BE: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        scale_BW1, bias_BW1 = self.conditioning(conditioning_BE)[..., None].chunk(2, dim=1)
        found_BWS = self.wide(self.first(x_BWS)) * (1 + scale_BW1) + bias_BW1
        made_BWS: torch.Tensor = x_BWS + self.narrow(self.second(found_BWS))
        return made_BWS


class ConditionedLevel(nn.Module):
    """The units of a level on one way, each looking three times as far as the one before."""

    def __init__(self, width: int, conditioning: int, units: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            ConditionedUnit(width, conditioning, 3**number) for number in range(units)
        )

    def forward(self, x_BWS: torch.Tensor, conditioning_BE: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        for unit in self.units:
            x_BWS = unit(x_BWS, conditioning_BE)
        return x_BWS


class UpsamplerNet(nn.Module):
    """Predicts an objective's target of what is to be added, from it with noise and what is
    given.
    """

    def __init__(self, shape: UpsamplerShape) -> None:
        super().__init__()
        self.shape = shape
        conditioning, widths = shape.conditioning_width, shape.widths
        before = (1 + GIVEN, *widths[:-1])
        self.conditioning = nn.Sequential(
            nn.Linear(2 * conditioning, conditioning),
            nn.SiLU(),
            nn.Linear(conditioning, conditioning),
        )
        levels = list(zip(before, widths, shape.strides, strict=True))
        self.down = nn.ModuleList(
            nn.Conv1d(width, wider, 2 * stride, stride, padding=-(-stride // 2))
            for width, wider, stride in levels
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(
                wider,
                width if level else widths[0],
                2 * stride,
                stride,
                padding=-(-stride // 2),
                output_padding=stride % 2,
            )
            for level, (width, wider, stride) in enumerate(levels)
        )
        self.on_way_down = nn.ModuleList(
            ConditionedLevel(width, conditioning, shape.units) for width in widths
        )
        self.on_way_up = nn.ModuleList(
            ConditionedLevel(width, conditioning, shape.units) for width in widths
        )
        self.last = nn.Conv1d(widths[0] + 1 + GIVEN, 1, 7, padding=3)

    def forward(
        self,
        noisy_BS: torch.Tensor,
        given_BGS: torch.Tensor,
        steps_B: torch.Tensor,
        given_times_B: torch.Tensor,
    ) -> torch.Tensor:
        """The prediction, (B, S), of multiples of `hop` samples; waves are of about unit level.

        `steps_B` are the objective's, from 0 to about 1000; `given_times_B` say how far what is
        given is on its way to noise, from 0 to 1.
        """
        conditioning_BE = self._conditioning(steps_B, given_times_B)
        x_BWS = told = torch.cat([noisy_BS[:, None], given_BGS], dim=1)
        kept = []
        for down, units in zip(self.down, self.on_way_down, strict=True):
            x_BWS = units(down(x_BWS), conditioning_BE)
            kept.append(x_BWS)
        for level in reversed(range(len(kept))):
            if level + 1 < len(kept):
                x_BWS = x_BWS + kept[level]
            x_BWS = self.up[level](self.on_way_up[level](x_BWS, conditioning_BE))
        made_B1S: torch.Tensor = self.last(torch.cat([x_BWS, told], dim=1))
        return made_B1S[:, 0]

    def _conditioning(self, steps_B: torch.Tensor, given_times_B: torch.Tensor) -> torch.Tensor:
        width = self.shape.conditioning_width
        both = (sinusoids(steps_B, width), sinusoids(given_times_B * _THOUSANDTHS, width))
        conditioning_BE: torch.Tensor = silu(self.conditioning(torch.cat(both, dim=1)))
        return conditioning_BE
