"""Single steps of samplers, as pure functions: of where one is, where one goes, and what the net
says of the latent there. They can be differentiated, and computed again.

Shapes: those of the latents, whichever these are.
"""

import math
from typing import Final, NamedTuple

import torch

from training.objectives.path import Objective, PathEstimate, PathPoint, PathPoints

_ALL_NOISE: Final = 1e-3  # of a latent less is as good as nothing: half a slope there is of no use


class Past(NamedTuple):
    """What the step before has seen, for samplers that look back."""

    point: PathPoint | PathPoints
    clean: torch.Tensor


def straight(there: PathPoint | PathPoints, said: PathEstimate) -> torch.Tensor:
    """The latent and the noise that the net sees, mixed anew.

    DDIM (Song et al. 2021, eta 0). Of a diffusion it is Euler's step too, taken in
    x / alpha over sigma / alpha; of a flow it is Euler's in time.
    """
    return there.alpha * said.clean + there.sigma * said.noise


def ancestral(
    here: PathPoint, there: PathPoint, said: PathEstimate, fresh: torch.Tensor, eta: float = 1.0
) -> torch.Tensor:
    """A draw from what the clean estimate leaves likely (Ho et al. 2020, variance beta tilde), of
    `eta` times its spread (Song et al. 2021, equation 16; 0: DDIM). `fresh` is standard normal.
    """
    kept = (here.alpha / there.alpha) ** 2
    spread = eta * (there.sigma / here.sigma * math.sqrt(1 - kept))
    rest = math.sqrt(max(0.0, there.sigma**2 - spread**2))
    return there.alpha * said.clean + rest * said.noise + spread * fresh


def bends(here: PathPoint, there: PathPoint, *, is_straight: bool) -> bool:
    """Whether Heun's second look is worth taking: not into the latent itself, nor out of what is
    all noise where steps are measured by noise over latent.
    """
    return there.sigma > 0 and (is_straight or here.alpha > _ALL_NOISE)


def heun(
    ahead: torch.Tensor,
    here: PathPoint,
    there: PathPoint,
    said: tuple[PathEstimate, PathEstimate],
    *,
    is_straight: bool,
) -> torch.Tensor:
    """Euler's step, corrected by what is said at its end: the mean of both slopes.

    `ahead` is where Euler's step led, `said` what was said before and after it. Slopes are taken in
    time of a flow, else as Karras et al. 2022 do, in x / alpha over sigma / alpha.
    """
    before, after = said
    if is_straight:
        turn = (after.noise - after.clean) - (before.noise - before.clean)
        return ahead + (there.time - here.time) / 2 * turn
    reach = there.sigma - there.alpha * here.sigma / here.alpha
    return ahead + reach / 2 * (after.noise - before.noise)


def multistep(
    x: torch.Tensor,
    here: PathPoint | PathPoints,
    there: PathPoint | PathPoints,
    clean: torch.Tensor,
    past: Past | None,
) -> torch.Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): the clean estimate is carried on in a line
    through the one before.

    First order at the first step and into the latent itself; and behind a point that is all noise,
    which is infinitely far in the logarithm of alpha over sigma.
    """
    left = here.alpha * there.sigma / (here.sigma * there.alpha)  # exp(−h)
    if past is not None:
        clean = clean + _carried(past.point, here, there) * (clean - past.clean)
    return there.sigma / here.sigma * x + there.alpha * (1 - left) * clean


def _carried(
    before: PathPoint | PathPoints, here: PathPoint | PathPoints, there: PathPoint | PathPoints
) -> float | torch.Tensor:
    """How much of the last change of a clean estimate goes on half a step ahead: none, where a step
    is infinitely long.
    """
    if isinstance(before, PathPoint) and isinstance(there, PathPoint):
        is_finite = before.alpha > 0 and there.sigma > 0
        return _log_ratio(there, here) / (2 * _log_ratio(here, before)) if is_finite else 0.0
    finite = torch.as_tensor((before.alpha > 0) & (there.sigma > 0))
    steps = _log_ratio(there, here) / (2 * _log_ratio(here, before))
    return torch.where(finite, torch.as_tensor(steps), 0.0)


def _log_ratio(there: PathPoint | PathPoints, here: PathPoint | PathPoints) -> float | torch.Tensor:
    """How much further one point is than another, in the logarithm of alpha over sigma."""
    ratio = there.alpha * here.sigma / (there.sigma * here.alpha)
    return ratio.log() if isinstance(ratio, torch.Tensor) else math.log(ratio)


def jump_prediction(
    objective: Objective, x: torch.Tensor, ahead: torch.Tensor, here: PathPoints, there: PathPoints
) -> torch.Tensor:
    """What a net has to predict of `x` for `straight` to lead to `ahead`: of a flow the mean
    velocity on the way. No two points of a sample may be the same.
    """
    nothing = torch.zeros_like(x)
    kept = straight(there, objective.estimate(nothing, x, here))
    one = torch.ones_like(here.alpha)
    reach = straight(there, objective.estimate(one, torch.zeros_like(one), here))
    return (ahead - kept) / reach


def renewed(
    x: torch.Tensor, reached: PathPoint, there: PathPoint, fresh: torch.Tensor
) -> torch.Tensor:
    """Latents at a point with less noise than another, taken there by fresh noise (standard
    normal): the gamma-sampling of consistency trajectories (Kim et al. 2024, arXiv 2310.02279).
    """
    by = there.alpha / reached.alpha
    return by * x + math.sqrt(max(0.0, there.sigma**2 - (by * reached.sigma) ** 2)) * fresh
