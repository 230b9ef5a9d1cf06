"""A teacher: the frozen model whose way a student learns to jump along.

A jump leads from a time down to another. Its target is where the teacher gets to in a few steps of
its own, and from there, where that is not far enough, where the student gets to already. Both are
compared where they end, as what a net predicts: of each jump, however long, with the same weight
(Kim et al. 2024 go on to time 0 and compare there, for distances that are made for clean sounds).

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from itertools import pairwise
from typing import NamedTuple, Self

import torch

from training.conditions.tokens import Tokens
from training.diffusion.model import Conditions, JumpGoal, LatentDiffusion
from training.diffusion.sampling import LatentRange, predictor
from training.distillation.config import SHORTEST, DistilRecipe
from training.errors import TrainingError
from training.objectives.path import Objective
from training.samplers.config import Sampler, SamplingConfig
from training.samplers.denoise import Predict
from training.samplers.steps import Past, jump_prediction, multistep, straight


class JumpDraws(NamedTuple):
    """Jumps of a batch, under which guidance: (B,) each."""

    times_B: torch.Tensor
    ends_B: torch.Tensor
    guidance_B: torch.Tensor


class Teacher(NamedTuple):
    """A model that does not learn, and how it plays."""

    model: LatentDiffusion
    sampling: SamplingConfig  # of which guidance is drawn, and steps and sampler are not taken
    latent_range: LatentRange
    rules: DistilRecipe

    @classmethod
    def of(
        cls,
        model: LatentDiffusion,
        sampling: SamplingConfig,
        latent_range: LatentRange,
        rules: DistilRecipe,
    ) -> Self:
        """A model, frozen.

        Raises `TrainingError` for a student, and for rules that a student cannot be told.
        """
        if model.is_student:
            raise TrainingError(
                "a student cannot be a teacher: its jumps are learned, and solve nothing"
            )
        if sampling.guidance_controls is not None and sampling.guidance_interval != (0.0, 1.0):
            raise TrainingError(
                "sampling.guidance_controls and guidance_interval of the teacher together: a "
                "student is told one guidance, and controls have theirs at all times. Set "
                "one of them off in the teacher's recipe"
            )
        return cls(model.requires_grad_(False).eval(), sampling, latent_range, rules)

    def jumps(self, times_B: torch.Tensor, draws_B2: torch.Tensor) -> JumpDraws:
        """Where jumps from these times end, by uniform draws, and their guidance."""
        end_B, guidance_B = draws_B2.unbind(1)
        low, high = self.rules.guidance
        at_ends = self.rules.at_ends
        share_B = ((end_B - at_ends) / max(1 - at_ends, 1e-6)).clamp(min=0)
        ends_B = share_B * (times_B - SHORTEST).clamp(min=0)
        return JumpDraws(times_B, ends_B, low + guidance_B * (high - low))

    @torch.no_grad()
    def goal(
        self,
        student: LatentDiffusion,
        noisy_BCTF: torch.Tensor,
        conditions: Conditions,
        empty_text: Tokens,
        jumps: JumpDraws,
        frames_B: torch.Tensor | None = None,
    ) -> JumpGoal:
        """What a student should predict of jumps from noisy latents."""
        objective = self.model.objective
        between_B = torch.maximum(jumps.ends_B, jumps.times_B - self.rules.reach)
        predict = self.predictor(conditions, empty_text, jumps.guidance_B, frames_B)
        reached = solved(
            predict, noisy_BCTF, objective, jumps.times_B, between_B, self.rules.solver_steps
        )
        told = student.jump(jumps.ends_B, jumps.guidance_B)
        said = student.predict(reached, between_B, conditions, frames_B, told).to(reached.dtype)
        between, ends = objective.points(between_B), objective.points(jumps.ends_B)
        ahead = straight(ends, objective.estimate(said, reached, between))
        # a jump of no length leads nowhere, but for rounding
        is_there = (between_B == jumps.ends_B)[:, None, None, None]
        prediction = jump_prediction(
            objective,
            noisy_BCTF,
            torch.where(is_there, reached, ahead),
            objective.points(jumps.times_B),
            ends,
        )
        return JumpGoal(jumps.ends_B, jumps.guidance_B, prediction, self.rules.score_weight)

    def predictor(
        self,
        conditions: Conditions,
        empty_text: Tokens,
        guidance_B: torch.Tensor,
        frames_B: torch.Tensor | None = None,
    ) -> Predict:
        """What the teacher says under a guidance for each sample; outside of its interval, under
        none.
        """
        first, last = self.sampling.guidance_interval

        def guidance_at(times_B: torch.Tensor) -> torch.Tensor:
            led_B = (first <= times_B) & (times_B <= last)
            return torch.where(led_B, guidance_B, torch.ones_like(guidance_B))

        low, high = self.rules.guidance
        rules = self.sampling.replaced(
            # no more than whether there is any to be asked for
            guidance=1.0 if low == high == 1 else max(high, 1.0) + 1,
            sampler=Sampler.DPM_SOLVER,
            eta=0.0,
        )
        return predictor(
            self.model, conditions, empty_text, rules, self.latent_range, guidance_at, frames_B
        )


def solved(
    predict: Predict,
    x_BCTF: torch.Tensor,
    objective: Objective,
    times_B: torch.Tensor,
    ends_B: torch.Tensor,
    steps: int,
) -> torch.Tensor:
    """Latents led from their own times to their own ends, by DPM-Solver++.

    Steps are even in the root of time, so that the last one into the latent, of first order, is
    short.
    """
    shares = [step / steps for step in range(1, steps)]
    between = [torch.lerp(times_B.sqrt(), ends_B.sqrt(), share).square() for share in shares]
    past = None
    for now_B, next_B in pairwise([times_B, *between, ends_B]):
        here, there = objective.points(now_B), objective.points(next_B)
        said = predict(x_BCTF, now_B).to(x_BCTF.dtype)
        clean = objective.estimate(said, x_BCTF, here).clean
        x_BCTF = multistep(x_BCTF, here, there, clean, past)
        past = Past(here, clean)
    return x_BCTF
