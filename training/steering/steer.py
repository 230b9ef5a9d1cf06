"""A model's pieces, steered: by optimised noise, by hooks on the way, or by both.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

import torch

from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, LatentDiffusion
from training.diffusion.sampling import LatentRange, keyed_noise, predictor
from training.samplers.config import SamplingConfig
from training.samplers.denoise import Between, Predict, denoised
from training.steering.guiding import (
    averaged,
    guided_by,
    looped,
    looped_noise,
    masked,
    one_after_other,
)
from training.steering.optimise import Optimised, Steering, optimised
from training.timed_controls.steer_options import SteerWay


class KnownWay(StrEnum):
    """How latents that are known are kept on the way."""

    MASKED = "masked"  # put back after each step
    AVERAGED = "averaged"  # the mean with what is found (MultiDiffusion)
    AVERAGED_HALF = "averaged-half"  # the same for the first half of the time (MD-50)
    LOSS = "loss"  # by the same way as all that a loss asks for
    IGNORED = "ignored"  # not at all: what the others are compared with


class KnownLatents(NamedTuple):
    """Latents (B, C, T, F) of which some frames are known: (T,)."""

    latents_BCTF: torch.Tensor
    mask_T: torch.Tensor
    by: KnownWay = KnownWay.MASKED


class SteerPlan(NamedTuple):
    """What leads pieces of one length on their way; all of it may be left out."""

    steering: Steering | None = None  # a loss, and how hard it is tried to make it small
    by: SteerWay = SteerWay.OPTIMISE  # or guide, for which a step counts as one try
    known: KnownLatents | None = None  # kept by hooks
    loop: int = 0  # frames at the end that are those at the beginning
    watch: Callable[[], None] = lambda: None  # called after each try


def steered_latents(
    model: LatentDiffusion,
    conditions: Conditions,
    empty_text: Tokens,
    plan: SteerPlan,
    *,
    keys: Sequence[str],
    seed: int,
    frames: int,
    bands: int,
    sampling: SamplingConfig | None = None,
    latent_range: LatentRange = (),
) -> Optimised:
    """One latent per key, from the noise that `sampled_latents` begins with, led by a plan. A key's
    depends on seed and key alone, as there. Raises `TrainingError` where keys and conditions differ
    in number, or a loss is not a number.
    """
    rules = sampling or SamplingConfig()
    noise = keyed_noise(model, conditions, keys=keys, seed=seed, frames=frames, bands=bands)
    start = looped_noise(noise.start(), plan.loop) if plan.loop else noise.start()
    with _frozen(model):
        with torch.no_grad():  # conditions are the same all along
            predict = predictor(model, conditions, empty_text, rules, latent_range)
        hooks = list(_hooks(plan, model, start))

        @torch.no_grad()
        def played(way: Predict, by: SamplingConfig, x_BCTF: torch.Tensor) -> torch.Tensor:
            between = one_after_other(hooks)
            return denoised(way, x_BCTF, model.objective, by, between=between, fresh=noise.at_step)

        if plan.steering is not None and plan.by is SteerWay.OPTIMISE:
            found = optimised(
                predict,
                start,
                model.objective,
                rules,
                plan.steering,
                between=one_after_other(hooks),
                fresh=noise.at_step,
                watch=plan.watch,
            )
            by = plan.steering.played
            if by is None:
                return found
            with torch.no_grad():
                way = predictor(model, conditions, empty_text, by, latent_range)
            return found._replace(latents_BCTF=played(way, by, found.noise_BCTF))
        if plan.steering is not None and plan.by is SteerWay.GUIDE:
            hooks.insert(0, guided_by(plan.steering.loss, predict, model.objective))
        hooks.append(_watched(plan.watch))
        latents = played(predict, rules, start)
        loss_B = plan.steering.loss(latents) if plan.steering else latents.new_zeros(len(latents))
    return Optimised(latents, start, loss_B[None], torch.zeros_like(loss_B, dtype=torch.long))


def _hooks(plan: SteerPlan, model: LatentDiffusion, start_BCTF: torch.Tensor) -> Iterator[Between]:
    """What comes between two steps; known latents are as noisy as the step by the noise that the
    way begins with, so that their way is the straight one.
    """
    if plan.loop:
        yield looped(plan.loop)
    if plan.known is not None:
        known, mask_T, by = plan.known
        match by:
            case KnownWay.MASKED:
                yield masked(known, mask_T, model.objective, lambda _: start_BCTF)
            case KnownWay.AVERAGED | KnownWay.AVERAGED_HALF:
                until = 0.5 if by is KnownWay.AVERAGED_HALF else 0.0
                yield averaged(known, mask_T, model.objective, lambda _: start_BCTF, until=until)


def _watched(watch: Callable[[], None]) -> Between:
    def between(x_BCTF: torch.Tensor, _clean: torch.Tensor, _time: float) -> torch.Tensor:
        watch()
        return x_BCTF

    return between


@contextmanager
def _frozen(model: torch.nn.Module) -> Iterator[None]:
    """Weights want no gradients for a while, and then what they wanted."""
    learned = [one for one in model.parameters() if one.requires_grad]
    for one in learned:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in learned:
            one.requires_grad_()
