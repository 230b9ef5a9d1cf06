"""How latents are sampled: a section of the recipe, and what `sample` may change."""

from enum import StrEnum
from typing import Final

from pydantic import Field

from schemas.record import Record


class Sampler(StrEnum):
    """How the way back is walked. `ddpm` alone draws noise on it."""

    DDIM = "ddim"  # Song et al. 2021, eta 0
    DDPM = "ddpm"  # Ho et al. 2020: ancestral, with the posterior's own variance
    DPM_SOLVER = "dpm-solver++"  # Lu et al. 2022, second order: as good in fewer steps
    EULER = "euler"  # first order; of a diffusion the same as ddim
    HEUN = "heun"  # second order by asking twice (Karras et al. 2022)


# What diffusion alone has: of a flow, ddim is euler, and nobody has given it a posterior.
OF_DIFFUSION: Final = (Sampler.DDIM, Sampler.DDPM)


class SamplingConfig(Record):
    """How latents are sampled."""

    sampler: Sampler = Field(
        Sampler.DPM_SOLVER,
        description="dpm-solver++, euler, heun; of a diffusion also ddim, ddpm.",
    )
    steps: int = Field(
        50,
        ge=1,
        le=10_000,
        description=(
            "Evaluations of the net, each for a conditional and an unconditional half; heun has "
            "two a step, but for the last. DPM-Solver++: 15 to 50."
        ),
    )
    guidance: float = Field(
        3.0,
        ge=0,
        description=(
            "How far to go from the unconditional towards the conditional prediction; "
            "1: no guidance. TANGO, Mustango: 3."
        ),
    )
    guidance_controls: float | None = Field(
        None,
        ge=0,
        description=(
            "Guidance of its own for beats, chords and what else is a control: `guidance` then "
            "leads from nothing to the text, this from the text to text and controls, for half as "
            "much work again. None: one guidance for all. Wants prompts.drop_controls in training."
        ),
    )
    guidance_rescale: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "How far the spread of a guided prediction is brought back to that of the conditional "
            "one. Lin et al. 2024: 0.7. 0: not at all."
        ),
    )
    clamp: bool = Field(
        False,
        description=(
            "Keep the clean estimate of each step within the range of the latents that were "
            "learned from (their 0.01 and 99.99 % by channel)."
        ),
    )
