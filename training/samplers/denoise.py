"""The way from noise to latents.

Nothing here stops gradients: who plays asks without, who optimises noise asks with them, and with
a predictor that is computed again on the way back (`torch.utils.checkpoint`).

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch

from training.errors import TrainingError
from training.objectives.path import Objective, PathEstimate, PathPoint
from training.samplers.config import OF_ALL_NETS, OF_DIFFUSION, Sampler, SamplingConfig
from training.samplers.steps import Past, ancestral, bends, heun, multistep, renewed, straight

# noisy latents (B, C, T, F) and times (B,), to a prediction of the objective's target; a student is
# also asked by the times at which its jumps end (B,)
Predict = Callable[..., torch.Tensor]
# a step's latents, the clean estimate that led there, and their time, to the latents to go on with
Between = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
# the number of a step to standard normal noise, shaped as the latents
Fresh = Callable[[int], torch.Tensor]


def keep(x_BCTF: torch.Tensor, _clean_BCTF: torch.Tensor, _time: float) -> torch.Tensor:
    """Nothing comes between two steps."""
    return x_BCTF


def denoised(
    predict: Predict,
    start_BCTF: torch.Tensor,
    objective: Objective,
    config: SamplingConfig,
    *,
    between: Between = keep,
    fresh: Fresh | None = None,
) -> torch.Tensor:
    """The way from noise to latents with any predictor of the objective's target.

    `between` is called after each step; `fresh` gives the noise that `ddpm` draws, and `ddim`
    where eta is not 0, and `jump` where gamma is not. Raises `TrainingError` where sampler and
    objective do not fit.
    """
    if objective.is_straight and config.sampler in OF_DIFFUSION:
        raise TrainingError(
            f"sampling.sampler={config.sampler} is for a diffusion, and this model is a flow: take "
            f"{', '.join(one for one in OF_ALL_NETS if one not in OF_DIFFUSION)}"
        )
    walk = _Walk(predict, objective, config, fresh)
    way = objective.way(config.steps, start_BCTF.shape[2], config.placement)
    x_BCTF, past = start_BCTF, None
    for number, (here, there) in enumerate(pairwise(way)):
        said = walk.said(x_BCTF, here, walk.end(there))
        x_BCTF = walk.step(x_BCTF, here, there, said, past, number)
        x_BCTF = between(x_BCTF, said.clean, there.time)
        past = Past(here, said.clean)
    return x_BCTF


class _Walk:
    """One step after the other, of a sampler."""

    def __init__(
        self, predict: Predict, objective: Objective, config: SamplingConfig, fresh: Fresh | None
    ) -> None:
        self._predict, self._objective = predict, objective
        self._sampler, self._fresh = config.sampler, fresh
        self._eta, self._gamma = config.eta, config.gamma

    def end(self, there: PathPoint) -> PathPoint | None:
        """Where a jump ends that leads to a point: there, or before, where noise is drawn anew;
        of other samplers none.
        """
        return self._before(there) if self._sampler is Sampler.JUMP else None

    def _before(self, there: PathPoint) -> PathPoint:
        """Where a jump ends for a point at which so much noise is drawn anew."""
        if not self._gamma:
            return there
        return self._objective.less_noisy(there, math.sqrt(1 - self._gamma**2))

    def said(
        self, x_BCTF: torch.Tensor, point: PathPoint, end: PathPoint | None = None
    ) -> PathEstimate:
        """What the net says at a point, of a jump to its end."""
        ends = () if end is None else (self._times(x_BCTF, end),)
        prediction = self._predict(x_BCTF, self._times(x_BCTF, point), *ends).to(x_BCTF.dtype)
        return self._objective.estimate(prediction, x_BCTF, point)

    @staticmethod
    def _times(x_BCTF: torch.Tensor, point: PathPoint) -> torch.Tensor:
        return torch.full((len(x_BCTF),), point.time, device=x_BCTF.device)

    def step(
        self,
        x_BCTF: torch.Tensor,
        here: PathPoint,
        there: PathPoint,
        said: PathEstimate,
        past: Past | None,
        number: int,
    ) -> torch.Tensor:
        """The latents of the next point."""
        match self._sampler:
            case Sampler.DPM_SOLVER:
                return multistep(x_BCTF, here, there, said.clean, past)
            case Sampler.DDPM:
                return ancestral(here, there, said, self._drawn(number))
            case Sampler.DDIM if self._eta:
                return ancestral(here, there, said, self._drawn(number), self._eta)
            case Sampler.HEUN:
                return self._heun(here, there, said)
            case Sampler.JUMP if self._gamma and there.sigma > 0:
                end = self._before(there)
                return renewed(straight(end, said), end, there, self._drawn(number))
            case Sampler.DDIM | Sampler.EULER | Sampler.JUMP:
                return straight(there, said)

    def _drawn(self, number: int) -> torch.Tensor:
        if self._fresh is None:
            raise TrainingError(f"{self._sampler} draws noise at each step, and was given none")
        return self._fresh(number)

    def _heun(self, here: PathPoint, there: PathPoint, said: PathEstimate) -> torch.Tensor:
        ahead_BCTF, is_straight = straight(there, said), self._objective.is_straight
        if not bends(here, there, is_straight=is_straight):
            return ahead_BCTF
        both = (said, self.said(ahead_BCTF, there))
        return heun(ahead_BCTF, here, there, both, is_straight=is_straight)
