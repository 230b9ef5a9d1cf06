"""Diffusion: a net learns the noise or the velocity of latents at a drawn step of a schedule; how
much a step counts.

Steps stand in tables; outside of these they are times: the middle of a step, over all of them.

Shapes: B samples.
"""

import math
from enum import StrEnum
from itertools import pairwise
from typing import Final, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Record
from training.errors import TrainingError
from training.objectives.path import Objective, PathEstimate, PathPoint, PathPoints
from training.objectives.placement import Placement, karras, reached

# Of the latent at the last step of a schedule that leaves none of it: what diffusers takes for
# nothing, so that ratios stay finite.
_NOTHING: Final = 2.0**-12
_COSINE_START: Final = 0.008  # Nichol & Dhariwal 2021: noise of the first step is not too little
_ROUNDING: Final = 1e-6  # of a ratio of noise to latent, by way of float32
_LARGEST_BETA: Final = 0.999  # the same: at the end of a cosine


class Target(StrEnum):
    """What the net predicts, in diffusers' names."""

    EPSILON = "epsilon"  # the noise (Ho et al. 2020)
    V = "v_prediction"  # the velocity, alpha × noise − sigma × latent (Salimans & Ho 2022)


class BetaSchedule(StrEnum):
    """How noise grows over the steps, in diffusers' names."""

    LINEAR = "linear"
    SCALED_LINEAR = "scaled_linear"  # linear in the root of beta: latent diffusion's
    COSINE = "squaredcos_cap_v2"  # Nichol & Dhariwal 2021; takes no beta_start and beta_end


class DiffusionConfig(Record):
    """Noise and loss.

    The defaults are Mustango's: the schedule of Stable Diffusion 2.1, which predicts v, and gamma
    5.
    """

    kind: Literal["diffusion"] = Field("diffusion", description="diffusion, or flow.")
    target: Target = Field(
        Target.V, description="What the net predicts. Stable Diffusion 2.1, TANGO, Mustango: v."
    )
    steps: int = Field(
        1000, ge=2, le=100_000, description="Steps from latent to noise. Ho et al. 2020: 1000."
    )
    schedule: BetaSchedule = Field(
        BetaSchedule.SCALED_LINEAR, description="How noise grows. Stable Diffusion: scaled_linear."
    )
    beta_start: float = Field(
        0.00085,
        gt=0,
        lt=1,
        description="Share of noise added by the first step. Stable Diffusion: 0.00085.",
    )
    beta_end: float = Field(
        0.012, gt=0, lt=1, description="And by the last. Stable Diffusion: 0.012."
    )
    snr_gamma: float | None = Field(
        5.0,
        gt=0,
        description=(
            "Min-SNR weight: no step's latent counts more than this. "
            "Hang et al. 2023, TANGO, Mustango: 5. None: equal."
        ),
    )
    zero_terminal: bool = Field(
        False,
        description=(
            "Rescale the schedule so that nothing of the latent is left at the last step: a model "
            "learns to give a clip its level, which playing from pure noise asks of it (Lin et al. "
            "2024). Takes v. Not in published weights."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.zero_terminal and self.target is not Target.V:
            raise SchemaError(
                "objective.zero_terminal takes objective.target=v_prediction: at the last step, "
                "where all is noise, predicted noise says nothing of the latent"
            )
        return self

    def time_of(self, draw: float, frames: int) -> float:
        """The time that a uniform draw from [0, 1) stands for, whatever the length of the latent.

        >>> DiffusionConfig().time_of(0.25, frames=80)
        0.2505
        """
        return self.time_at(min(self.steps - 1, int(draw * self.steps)))

    def spaced(self, share: float, frames: int) -> float:
        """The time at a share of an even way, from 0 (latent) to 1 (noise)."""
        return self.time_of(share, frames)

    def time_at(self, step: int) -> float:
        """The time of a step: its middle, so that no rounding leads to another."""
        return (step + 0.5) / self.steps


class Diffusion(Objective):
    """Noise by a table of steps.

    Tables are held in float32; latents and noise should be too.

    >>> objective = Diffusion(DiffusionConfig(target="epsilon"))
    >>> round(float(objective.weight(torch.tensor([0.0005]))), 4)  # SNR is 1176 at the first step
    0.0043
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        # of the latent's power, what each step leaves: alpha bar
        self.left = _power_left(config)
        self._moved = {self.left.device: self.left}

    @property
    def is_straight(self) -> bool:
        """It bends: alpha² + sigma² = 1."""
        return False

    def steps(self, times_B: torch.Tensor) -> torch.Tensor:
        """The steps of times: whole numbers, (B,)."""
        return (times_B * self.config.steps).long().clamp(max=self.config.steps - 1)

    def noised(
        self, latents: torch.Tensor, noise: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """Latents with as much noise as their steps say, shaped as they are."""
        alpha, sigma = self._shares(latents, times_B)
        return alpha * latents + sigma * noise

    def target(
        self, latents: torch.Tensor, noise: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """What the net should have said."""
        if self.config.target is Target.EPSILON:
            return noise
        alpha, sigma = self._shares(latents, times_B)
        return alpha * noise - sigma * latents

    def weight(self, times_B: torch.Tensor) -> torch.Tensor:
        """How much each step's squared error counts: (B,).

        Hang et al. 2023 (arXiv 2303.09556, section 3.4) give the error of the latent the weight
        min(SNR, gamma). The same error measured on the noise is SNR times smaller, and on v SNR + 1
        times, so the weight is divided by that. (The published code of Mustango uses the weight of
        the noise with a target of v.)
        """
        left_B = self._left_on(times_B.device)[self.steps(times_B)]
        if self.config.snr_gamma is None:
            return torch.ones_like(left_B)
        snr_B = left_B / (1 - left_B)
        weight_B: torch.Tensor = snr_B.clamp(max=self.config.snr_gamma) / (
            snr_B if self.config.target is Target.EPSILON else snr_B + 1
        )
        return weight_B

    def clean(
        self, prediction: torch.Tensor, noisy: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """The latent that a prediction amounts to, shaped as it is."""
        alpha, sigma = self._shares(noisy, times_B)
        if self.config.target is Target.EPSILON:
            return (noisy - sigma * prediction) / alpha
        return alpha * noisy - sigma * prediction

    def prediction(
        self, clean: torch.Tensor, noisy: torch.Tensor, times_B: torch.Tensor
    ) -> torch.Tensor:
        """The prediction that amounts to a latent: the inverse of `clean`."""
        alpha, sigma = self._shares(noisy, times_B)
        if self.config.target is Target.EPSILON:
            return (noisy - alpha * clean) / sigma
        return (alpha * noisy - clean) / sigma

    def estimate(
        self, prediction: torch.Tensor, noisy: torch.Tensor, point: PathPoint | PathPoints
    ) -> PathEstimate:
        """What a prediction at a point of the way amounts to."""
        if self.config.target is Target.EPSILON:
            return PathEstimate((noisy - point.sigma * prediction) / point.alpha, prediction)
        return PathEstimate(
            point.alpha * noisy - point.sigma * prediction,
            point.sigma * noisy + point.alpha * prediction,
        )

    def point(self, time: float) -> PathPoint:
        """The point of a time; 0 is the latent itself."""
        if time == 0:
            return PathPoint(0.0, 1.0, 0.0)
        step = min(self.config.steps - 1, int(time * self.config.steps))
        share = max(float(self.left[step]), _NOTHING**2)
        return PathPoint(time, share**0.5, (1 - share) ** 0.5)

    def points(self, times_B: torch.Tensor) -> PathPoints:
        """The point of each sample's time; 0 is the latent itself."""
        share_B = self._left_on(times_B.device)[self.steps(times_B)].clamp(min=_NOTHING**2)
        share_B = torch.where(times_B == 0, torch.ones_like(share_B), share_B)
        time, share = (one.reshape(-1, 1, 1, 1) for one in (times_B, share_B))
        return PathPoints(time, share.sqrt(), (1 - share).sqrt())

    def less_noisy(self, point: PathPoint, share: float) -> PathPoint:
        """The noisiest step whose noise over latent is at most this share of a point's; the latent
        itself where there is none.
        """
        ratio = share * point.sigma / point.alpha
        below = np.flatnonzero(self._ratios() <= ratio * (1 + _ROUNDING))
        return self.point(self.config.time_at(int(below[-1])) if len(below) and ratio else 0.0)

    def way(
        self, count: int, frames: int, placement: Placement = Placement.EVEN
    ) -> tuple[PathPoint, ...]:
        """Steps are spaced back from the noisiest, so that sampling begins where pure noise was
        learned (Lin et al. 2024), and end in the latent. Where they are placed closer together than
        learned steps lie, they are learned steps in a row.

        Raises `TrainingError` for more steps than the path has.
        """
        steps = self.config.steps
        if count > steps:
            raise TrainingError(f"sampling.steps {count} is more than the {steps} that are learned")
        match placement:
            case Placement.EVEN:
                spaced = [round(steps - index * steps / count) - 1 for index in range(count)]
            case Placement.KARRAS:
                spaced = _apart(self._karras_steps(count))
            case _:
                shares = reached(placement, count)[:-1]
                spaced = _apart([round(steps * (1 - share)) - 1 for share in shares])
        return (*(self.point(self.config.time_at(step)) for step in spaced), self.point(0.0))

    def _karras_steps(self, count: int) -> list[int]:
        """The steps whose noise over latent is nearest to Karras' ratios, in its logarithm."""
        ratios_N = self._ratios()
        wanted = karras(float(ratios_N[-1]), float(ratios_N[0]), count)
        steps = np.interp(np.log(wanted), np.log(ratios_N), np.arange(len(ratios_N)))
        return [int(step) for step in np.round(steps)]

    def _ratios(self) -> np.ndarray:
        """The noise over latent of each step."""
        left_N = np.maximum(self.left.double().numpy(), _NOTHING**2)
        ratios_N: np.ndarray = np.sqrt((1 - left_N) / left_N)
        return ratios_N

    def _shares(
        self, noisy: torch.Tensor, times_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How much of a noisy latent is latent, and how much noise, as factors."""
        left_B = self._left_on(noisy.device)[self.steps(times_B)]
        left_B111 = left_B.reshape(-1, *[1] * (noisy.dim() - 1))
        return left_B111.sqrt(), (1 - left_B111).sqrt()

    def _left_on(self, device: torch.device) -> torch.Tensor:
        """The table `left` on a device, where it goes once: a step waits for no copy."""
        if device not in self._moved:
            self._moved[device] = self.left.to(device)
        return self._moved[device]


def _apart(steps: list[int]) -> list[int]:
    """Falling steps, none of them twice, and enough left below each for those that follow."""
    spaced: list[int] = []
    for index, step in enumerate(steps):
        highest = spaced[-1] - 1 if spaced else step
        spaced.append(max(min(step, highest), len(steps) - 1 - index))
    return spaced


def _power_left(config: DiffusionConfig) -> torch.Tensor:
    """How much of a latent's power each step of a schedule leaves (alpha bar): (steps,)."""
    left_N = torch.cumprod(1 - _betas(config), 0)
    if not config.zero_terminal:
        return left_N
    # Lin et al. 2024: its root falls in the same line, moved and stretched so that it ends in 0
    root_N = left_N.sqrt()
    root_N = (root_N - root_N[-1]) * (root_N[0] / (root_N[0] - root_N[-1]))
    return root_N.square()


def _betas(config: DiffusionConfig) -> torch.Tensor:
    """The share of noise that each step adds: (steps,)."""
    first, last, steps = config.beta_start, config.beta_end, config.steps
    match config.schedule:
        case BetaSchedule.LINEAR:
            return torch.linspace(first, last, steps)
        case BetaSchedule.SCALED_LINEAR:
            return torch.linspace(first**0.5, last**0.5, steps).square()
        case BetaSchedule.COSINE:
            reached_N = [_cosine_left(step / steps) for step in range(steps + 1)]
            added = [1 - after / before for before, after in pairwise(reached_N)]
            return torch.tensor(added).clamp(max=_LARGEST_BETA)


def _cosine_left(share: float) -> float:
    """The power that a cosine leaves after a share of the steps."""
    turned = (share + _COSINE_START) / (1 + _COSINE_START)
    return math.cos(turned * math.pi / 2) ** 2
