"""Flow matching: a net learns a straight line from a latent to noise, by its velocity or its start.

Lipman et al. 2023 (arXiv 2210.02747), Liu et al. 2022 (rectified flow, arXiv 2209.03003); times as
in Esser et al. 2024 (Stable Diffusion 3, arXiv 2403.03206).

Shapes: B samples.
"""

import math
from enum import StrEnum
from statistics import NormalDist
from typing import Final, Literal

import torch
from pydantic import Field

from schemas.record import Record
from training.objectives.path import Objective, PathEstimate, PathPoint, PathPoints
from training.objectives.placement import Placement, karras, reached

_EDGE: Final = 1e-6  # draws nearer to 0 or 1 than this would be infinitely far out
_TOLD: Final = 1000.0  # nets are told times in thousandths, which their sinusoids are made for
_NEAR: Final = 0.05  # errors of a clean latent count no more than here: Li & He 2025


class FlowTarget(StrEnum):
    """What the net predicts. The error is the velocity's in both."""

    VELOCITY = "velocity"
    # Li & He 2025 (arXiv 2511.13720): a latent fits where its noise, of which a velocity is made,
    # does not pass: in a net narrower than what it predicts of one token
    LATENT = "latent"


class FlowConfig(Record):
    """Times and loss of flow matching.

    The defaults are Stable Diffusion 3's: a logit-normal of mean 0 and spread 1.
    """

    kind: Literal["flow"] = Field("flow", description="flow, or diffusion.")
    target: FlowTarget = Field(
        FlowTarget.VELOCITY,
        description=(
            "What the net predicts: velocity (SD3), or the clean latent that the velocity leads "
            "from, which a net narrower than its tokens' numbers can learn. The loss is the "
            "velocity's in both."
        ),
    )
    logit_mean: float = Field(
        0.0,
        ge=-10,
        le=10,
        description="Middle of the learned times, as a logit: above 0, more noise. SD3: 0.",
    )
    logit_spread: float = Field(
        1.0, gt=0, le=10, description="Standard deviation of their logits. SD3: 1."
    )
    shift: float = Field(
        1.0,
        gt=0,
        le=100,
        description=(
            "How far times are moved towards noise, when learning and when playing: t becomes "
            "s t / (1 + (s - 1) t). SD3 at 1024 by 1024: 3. 1: not at all."
        ),
    )
    shift_frames: int | None = Field(
        None,
        ge=1,
        description=(
            "Latent frames that `shift` is for; for others it grows with the root of their "
            "number, as in SD3: longer latents are harder to drown. None: the same for all."
        ),
    )

    def time_of(self, draw: float, frames: int) -> float:
        """The time that a uniform draw from [0, 1) stands for in latents of so many frames: their
        quantile, shifted.

        >>> flow = FlowConfig(shift=3.0, shift_frames=80)
        >>> flow.time_of(0.5, frames=80), round(flow.time_of(0.5, frames=320), 4)
        (0.75, 0.8571)
        """
        normal = NormalDist(self.logit_mean, self.logit_spread)
        logit = normal.inv_cdf(min(max(draw, _EDGE), 1 - _EDGE))
        return self.shifted(1 / (1 + math.exp(-logit)), frames)

    def spaced(self, share: float, frames: int) -> float:
        """The time at a share of an even way, from 0 (latent) to 1 (noise)."""
        return self.shifted(share, frames)

    def shifted(self, time: float, frames: int) -> float:
        """A time moved towards noise."""
        by = self.shift
        if self.shift_frames is not None:
            by *= math.sqrt(frames / self.shift_frames)
        return by * time / (1 + (by - 1) * time)


class Flow(Objective):
    """A straight line from latent to noise: (1 − time) × latent + time × noise.

    The net says which way it leads, velocity = noise − latent; or from where, the latent itself.
    """

    def __init__(self, config: FlowConfig) -> None:
        self.config = config

    @property
    def is_straight(self) -> bool:
        """It is."""
        return True

    def steps(self, times_B: torch.Tensor) -> torch.Tensor:
        """Times in thousandths: (B,)."""
        return times_B * _TOLD

    def noised(
        self, latents: torch.Tensor, noise: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """Latents as far on the way to noise as their times say, shaped as they are."""
        times = _beside(times_B, latents)
        return (1 - times) * latents + times * noise

    def target(
        self, latents: torch.Tensor, noise: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """The velocity, or the latent: both are the same all along."""
        return latents if self.config.target is FlowTarget.LATENT else noise - latents

    def weight(self, times_B: torch.Tensor) -> torch.Tensor:
        """All times count alike: how often they are drawn weighs them."""
        return torch.ones_like(times_B)

    def counted(self, error_B: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        """Errors of the velocity.

        The velocity to a latent is (noisy − latent) / time, so an error of the latent counts
        1 / time²; near the latent, where noise is all but gone, no more than at a time of 0.05.
        """
        if self.config.target is FlowTarget.VELOCITY:
            return error_B
        return error_B / times_B.clamp(min=_NEAR).square()

    def clean(
        self, prediction: torch.Tensor, noisy: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """The latent that a velocity leads back to, or the latent."""
        if self.config.target is FlowTarget.LATENT:
            return prediction
        return noisy - _beside(times_B, noisy) * prediction

    def prediction(
        self, clean: torch.Tensor, noisy: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """The velocity that leads back to a latent, or the latent."""
        if self.config.target is FlowTarget.LATENT:
            return clean
        return (noisy - clean) / _beside(times_B, noisy)

    def estimate(
        self, prediction: torch.Tensor, noisy: torch.Tensor, point: PathPoint | PathPoints
    ) -> PathEstimate:
        """Where a prediction leads to in both directions."""
        if self.config.target is FlowTarget.LATENT:
            return PathEstimate(prediction, (noisy - point.alpha * prediction) / point.sigma)
        return PathEstimate(noisy - point.sigma * prediction, noisy + point.alpha * prediction)

    def point(self, time: float) -> PathPoint:
        """The point of a time; 0 is the latent itself."""
        return PathPoint(time, 1 - time, time)

    def points(self, times_B: torch.Tensor) -> PathPoints:
        """The point of each sample's time; 0 is the latent itself."""
        time = times_B.reshape(-1, 1, 1, 1)
        return PathPoints(time, 1 - time, time)

    def less_noisy(self, point: PathPoint, share: float) -> PathPoint:
        """The point whose noise over latent is this share of a point's."""
        return self.point(share * point.sigma / (point.alpha + share * point.sigma))

    def way(
        self, count: int, frames: int, placement: Placement = Placement.EVEN
    ) -> tuple[PathPoint, ...]:
        """Steps as they are placed, shifted as the times that were learned.

        Of a flow, Karras' steps are laid out in time, between the ends of an even way.
        """
        times = [self.config.shifted(1 - share, frames) for share in reached(placement, count)]
        if placement is Placement.KARRAS:
            times = [*karras(times[0], times[-2], count), 0.0]
        return tuple(self.point(time) for time in times)


def _beside(times_B: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """Times as factors of latents."""
    return times_B.reshape(-1, *[1] * (latents.dim() - 1))
