"""Inversion: the noise from which a sampler comes to given latents (Song et al. 2021, made exact by
a fixed point, as in Pan et al. 2023).

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from itertools import pairwise
from typing import Final, NamedTuple

import torch

from training.errors import TrainingError
from training.objectives.path import Objective, PathPoint
from training.samplers.config import Sampler, SamplingConfig
from training.samplers.denoise import Predict

_STRAIGHT: Final = (Sampler.EULER, Sampler.DDIM)  # whose steps look at one point alone


class Inverted(NamedTuple):
    """Noise, and how far each step back missed: the root mean square, in units of latents, between
    where the step forward leads from there and where it should.
    """

    noise_BCTF: torch.Tensor
    missed_KB: torch.Tensor


def inverted(
    predict: Predict,
    latents_BCTF: torch.Tensor,
    objective: Objective,
    config: SamplingConfig,
    *,
    rounds: int = 20,
    near: float = 1e-5,
) -> Inverted:
    """The sampler run backwards: each step of Euler's is undone exactly, by asking the net where
    the step began, which is looked for until it stays (`rounds` at most, until `near`).

    One prediction says noise and latent: behind points that are mostly latent the noise is kept
    from it, behind others the latent, whichever an error is made smaller by. Raises `TrainingError`
    for samplers that look at several points or draw noise.
    """
    if config.sampler not in _STRAIGHT or config.eta:
        raise TrainingError(
            f"{config.sampler} cannot be run backwards: take "
            f"{' or '.join(_STRAIGHT)} without eta for an inversion"
        )
    way = objective.way(config.steps, latents_BCTF.shape[2], config.placement)
    x_BCTF, missed = latents_BCTF, list[torch.Tensor]()
    for here, there in reversed(list(pairwise(way))):
        x_BCTF, far_B = _undone(predict, x_BCTF, objective, here, there, rounds, near)
        missed.append(far_B)
    return Inverted(x_BCTF, torch.stack(missed))


def _undone(
    predict: Predict,
    ahead_BCTF: torch.Tensor,
    objective: Objective,
    here: PathPoint,
    there: PathPoint,
    rounds: int,
    near: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a step began that led here, and how far the step from there misses it."""
    x_BCTF = ahead_BCTF
    times_B = torch.full((len(x_BCTF),), here.time, device=x_BCTF.device)
    for _ in range(rounds + 1):
        prediction = predict(x_BCTF, times_B).to(x_BCTF.dtype)
        said = objective.estimate(prediction, x_BCTF, here)
        led_BCTF = there.alpha * said.clean + there.sigma * said.noise
        far_B = (led_BCTF - ahead_BCTF).square().mean(dim=(1, 2, 3)).sqrt()
        if (far_B <= near).all():
            break
        if there.alpha >= there.sigma:
            clean_BCTF = (ahead_BCTF - there.sigma * said.noise) / there.alpha
            x_BCTF = here.alpha * clean_BCTF + here.sigma * said.noise
        else:
            noise_BCTF = (ahead_BCTF - there.alpha * said.clean) / there.sigma
            x_BCTF = here.alpha * said.clean + here.sigma * noise_BCTF
    return x_BCTF, far_B
