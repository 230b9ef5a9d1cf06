"""Optimised noise: the start of the way is moved until its end is what is asked for (DITTO: Novack
et al. 2024, arXiv 2401.12179). The net stays as it is.

Each question to the net is computed again on the way back, so memory holds one question's
activations and a few latents a step, however many steps there are.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pydantic import Field
from torch.utils.checkpoint import checkpoint

from schemas.record import Record
from training.errors import TrainingError
from training.objectives.path import Objective
from training.samplers.config import SamplingConfig
from training.samplers.denoise import Between, Fresh, Predict, denoised, keep
from training.steering.losses import SteerLoss


class OptimiseConfig(Record):
    """How the noise is moved: by Adam, with DITTO's settings but for the rate."""

    lr: float = Field(
        0.05,
        gt=0,
        description=(
            "Adam's rate. DITTO: 5e-3; on `tiny-munet`, ten times that gets there in a tenth of "
            "the steps, and forty times that leads astray."
        ),
    )
    most_steps: int = Field(
        70, ge=1, description="Steps at most. DITTO: 70, and 150 for melody and form."
    )
    enough: float | None = Field(
        None,
        description="A sample whose loss is no higher is done. DITTO, intensity: 2. None: go on.",
    )


class Steering(NamedTuple):
    """What is asked of latents, and how hard it is tried."""

    loss: SteerLoss
    config: OptimiseConfig = OptimiseConfig()
    # how the noise that was found is played; none: as it was moved. Moved through one jump of a
    # student and played in several, it is DITTO-2 (Novack et al. 2024, arXiv 2405.20289)
    played: SamplingConfig | None = None


class Optimised(NamedTuple):
    """The best that was found of each sample."""

    latents_BCTF: torch.Tensor
    noise_BCTF: torch.Tensor  # which led there
    losses_KB: torch.Tensor  # of each step, before it was taken; the last are those of the end
    best_B: torch.Tensor  # the step that was best


def optimised(
    predict: Predict,
    start_BCTF: torch.Tensor,
    objective: Objective,
    sampling: SamplingConfig,
    steering: Steering,
    *,
    between: Between = keep,
    fresh: Fresh | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Optimised:
    """The noise near `start_BCTF` whose latents have the least loss, and these.

    Samples do not touch each other: each has its own loss, its own best step and, in Adam, its own
    moments. `fresh` must give the same noise each time. `watch` is called after each step. Raises
    `TrainingError` for a loss that is not a number.
    """
    loss, rules, _ = steering
    noise = start_BCTF.detach().clone().requires_grad_()
    adam = torch.optim.Adam([noise], lr=rules.lr)
    remembered, losses = _Best(start_BCTF), list[torch.Tensor]()
    for step in range(rules.most_steps + 1):
        with torch.enable_grad():
            latents = denoised(
                recomputed(predict), noise, objective, sampling, between=between, fresh=fresh
            )
            loss_B = loss(latents)
        if not torch.isfinite(loss_B).all():
            raise TrainingError(f"the loss of step {step} is not a number: lower lr {rules.lr:g}")
        losses.append(loss_B.detach())
        remembered.take(step, losses[-1], latents.detach(), noise.detach())
        watch()
        if step == rules.most_steps or remembered.all_below(rules.enough):
            break
        [noise.grad] = torch.autograd.grad(loss_B, [noise], torch.ones_like(loss_B))
        adam.step()
    return Optimised(remembered.latents, remembered.noise, torch.stack(losses), remembered.step_B)


def recomputed(predict: Predict) -> Predict:
    """A predictor that keeps nothing for the way back but what it was asked."""

    def again(*asked: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = checkpoint(
            predict, *asked, use_reentrant=False, preserve_rng_state=False
        )
        return said

    return again


class _Best:
    """What had the least loss so far, by sample."""

    def __init__(self, start_BCTF: torch.Tensor) -> None:
        rows = len(start_BCTF)
        self.latents, self.noise = start_BCTF.detach().clone(), start_BCTF.detach().clone()
        self.loss_B = torch.full(
            (rows,), float("inf"), dtype=torch.float64, device=start_BCTF.device
        )
        self.step_B = torch.zeros(rows, dtype=torch.long, device=start_BCTF.device)

    def take(
        self, step: int, loss_B: torch.Tensor, latents: torch.Tensor, noise: torch.Tensor
    ) -> None:
        better = loss_B < self.loss_B
        self.latents[better], self.noise[better] = latents[better], noise[better]
        self.loss_B[better], self.step_B[better] = loss_B[better].to(self.loss_B), step

    def all_below(self, enough: float | None) -> bool:
        return enough is not None and bool((self.loss_B <= enough).all())
