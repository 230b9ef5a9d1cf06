"""What every objective has in common: a path from latents to noise, and the loss along it.

A point of the path is `alpha` × latent + `sigma` × noise. Its *time* is a number from 0, where all
is latent, to 1, where all is noise; what is learned lies between. Steps, tables and shifts are the
objective's own.

Shapes: B samples, C channels, T frames, F bands.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch

from training.objectives.placement import Placement


class PathPoint(NamedTuple):
    """A point of the way from noise to a latent."""

    time: float
    alpha: float  # how much of the latent is in it
    sigma: float  # how much noise


class PathPoints(NamedTuple):
    """The same of each sample, as factors of latents: (B, 1, 1, 1)."""

    time: torch.Tensor
    alpha: torch.Tensor
    sigma: torch.Tensor


class PathEstimate(NamedTuple):
    """What a prediction says of a noisy latent: that it is this latent with that noise."""

    clean: torch.Tensor
    noise: torch.Tensor


class Objective(ABC):
    """Noises latents, says what a net should predict of them, and weighs its errors.

    Latents and noise should be float32; times are (B,).
    """

    @property
    @abstractmethod
    def is_straight(self) -> bool:
        """Whether latents go to noise in a straight line: alpha = 1 − time, sigma = time."""

    @abstractmethod
    def steps(self, times_B: torch.Tensor) -> torch.Tensor:
        """Times as nets read them, from 0 to about 1000."""

    @abstractmethod
    def noised(
        self, latents: torch.Tensor, noise: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """Latents with as much noise as their times say, shaped as they are."""

    @abstractmethod
    def target(
        self, latents: torch.Tensor, noise: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """What the net should have said."""

    @abstractmethod
    def weight(self, times_B: torch.Tensor) -> torch.Tensor:
        """How much the squared error of each counts: (B,)."""

    @abstractmethod
    def clean(
        self, prediction: torch.Tensor, noisy: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """The latent that a prediction amounts to, shaped as it is."""

    @abstractmethod
    def prediction(
        self, clean: torch.Tensor, noisy: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """The prediction that amounts to a latent: the inverse of `clean`."""

    @abstractmethod
    def estimate(
        self, prediction: torch.Tensor, noisy: torch.Tensor, point: PathPoint | PathPoints
    ) -> PathEstimate:
        """What a prediction at a point of the way amounts to."""

    @abstractmethod
    def point(self, time: float) -> PathPoint:
        """The point of a time; 0 is the latent itself."""

    @abstractmethod
    def points(self, times_B: torch.Tensor) -> PathPoints:
        """The point of each sample's time; 0 is the latent itself."""

    @abstractmethod
    def less_noisy(self, point: PathPoint, share: float) -> PathPoint:
        """The point whose noise over latent is this share of a point's, or the next below it that
        is learned; of none of it the latent itself.
        """

    @abstractmethod
    def way(
        self, count: int, frames: int, placement: Placement = Placement.EVEN
    ) -> tuple[PathPoint, ...]:
        """Points of a way in `count` steps for latents of so many frames, from all noise to none:
        one more than steps.

        Raises `TrainingError` for more steps than the path has.
        """

    def distance(
        self,
        prediction: torch.Tensor,
        wanted: torch.Tensor,
        times_B: torch.Tensor,
        frames_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared error of each sample's prediction, as it counts before it is weighed: (B,),
        in float32.

        Of a sample with fewer frames of its own the rest, which is padding, does not count; one
        with none has no error.
        """
        error_BT = (prediction.float() - wanted.float()).square().mean(dim=(1, 3))
        if frames_B is None:
            return self.counted(error_BT.mean(1), times_B)
        own_BT = torch.arange(error_BT.shape[1], device=error_BT.device) < frames_B[:, None]
        return self.counted((error_BT * own_BT).sum(1) / frames_B.clamp(min=1), times_B)

    def counted(self, error_B: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        """Squared errors of predictions as they count: as they are, unless the objective has what
        it measures predicted as something else.
        """
        return error_B

    def loss(
        self,
        prediction: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        times_B: torch.Tensor,
        frames_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Weighted mean squared error of each sample: (B,), in float32."""
        wanted = self.target(latents, noise, times_B)
        return self.distance(prediction, wanted, times_B, frames_B) * self.weight(times_B)
