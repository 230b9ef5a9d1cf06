"""How latents are sampled: a section of the recipe, and what `sample` may change."""

from enum import StrEnum
from typing import Final, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Record
from training.errors import TrainingError
from training.objectives.placement import Placement


class Sampler(StrEnum):
    """How the way back is walked. `ddpm` draws noise on it, `ddim` if told."""

    DDIM = "ddim"  # Song et al. 2021
    DDPM = "ddpm"  # Ho et al. 2020: ancestral, with the posterior's own variance
    DPM_SOLVER = "dpm-solver++"  # Lu et al. 2022, second order: as good in fewer steps
    EULER = "euler"  # first order; of a diffusion the same as ddim
    HEUN = "heun"  # second order by asking twice (Karras et al. 2022)
    JUMP = "jump"  # of a student alone: as far as it likes at once (Kim et al. 2024)


# What diffusion alone has: of a flow, ddim is euler, and nobody has given it a posterior.
OF_DIFFUSION: Final = (Sampler.DDIM, Sampler.DDPM)
# What any net can be asked by.
OF_ALL_NETS: Final = tuple(one for one in Sampler if one is not Sampler.JUMP)
_LEARNED_FROM_TEACHER: Final = (
    "guidance_controls",
    "guidance_rescale",
    "guidance_interval",
    "guidance_parallel",
    "guidance_norm",
    "threshold",
    "clamp",
)


class SamplingConfig(Record):
    """How latents are sampled."""

    sampler: Sampler = Field(
        Sampler.DPM_SOLVER,
        description="dpm-solver++, euler, heun; of a diffusion also ddim, ddpm; of a student jump.",
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
    eta: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of ddpm's noise that ddim draws at each step. Song et al. 2021: 0.",
    )
    gamma: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "Share of the noise that jump draws anew at each step (Kim et al. 2024): 0 goes on "
            "with its own, 1 jumps to the latent each time and adds all noise anew."
        ),
    )
    placement: Placement = Field(
        Placement.EVEN,
        description=(
            "Where steps lie: even; front (many near the noise), back (many near the latent), "
            "karras (evenly in the seventh root of noise over latent)."
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
    guidance_interval: tuple[float, float] = Field(
        (0.0, 1.0),
        description=(
            "Times, from 0 (latent) to 1 (noise), between which predictions are guided; elsewhere "
            "the conditional one is taken alone, for half the work (Kynkäänniemi et al. 2024)."
        ),
    )
    guidance_parallel: float = Field(
        1.0,
        ge=0,
        le=1,
        description=(
            "How much is kept of that part of the guidance which only strengthens the clean "
            "estimate. Adaptive projected guidance (Sadat et al. 2025): 0. 1: all."
        ),
    )
    guidance_norm: float | None = Field(
        None,
        gt=0,
        description=(
            "Largest Euclidean norm, over all values of a latent, of the difference that guidance "
            "enlarges, between clean estimates (diffusers: 15, for images). None: any."
        ),
    )
    threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "Dynamic thresholding (Saharia et al. 2022): this quantile of a clean estimate's "
            "magnitudes is brought down to `threshold_level`, and what is above it too. Imagen: "
            "0.995. None: off."
        ),
    )
    threshold_level: float = Field(
        1.0,
        gt=0,
        description=(
            "The level: the largest magnitude that latents should have. 1 for images; latents of "
            "unit spread want more, such as 4."
        ),
    )
    clamp: bool = Field(
        False,
        description=(
            "Keep the clean estimate of each step within the range of the latents that were "
            "learned from (their 0.01 and 99.99 % by channel)."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.eta and self.sampler is not Sampler.DDIM:
            raise SchemaError(
                f"sampling.eta={self.eta:g} is for sampling.sampler=ddim, not {self.sampler}: take "
                "that, or 0"
            )
        if self.gamma and self.sampler is not Sampler.JUMP:
            raise SchemaError(
                f"sampling.gamma={self.gamma:g} is for sampling.sampler=jump, by which students "
                f"play, not {self.sampler}: take 0, or sampling.eta with ddim"
            )
        first, last = self.guidance_interval
        if not 0 <= first <= last <= 1:
            raise SchemaError(
                f"sampling.guidance_interval {first:g} to {last:g} is not one within 0 to 1"
            )
        return self


def check_sampler(rules: SamplingConfig, *, is_student: bool) -> None:
    """Raise `TrainingError` for a sampler that the net of a model cannot be asked by, and for what
    a student has learned from its teacher, once and for all.
    """
    if not is_student:
        if rules.sampler is Sampler.JUMP:
            raise TrainingError(
                "sampling.sampler=jump is for a student, which `train --distil` makes of a model: "
                f"take {', '.join(OF_ALL_NETS)}"
            )
        return
    usual = SamplingConfig()
    changed = [one for one in _LEARNED_FROM_TEACHER if getattr(rules, one) != getattr(usual, one)]
    if changed:
        raise TrainingError(
            f"a student is told `guidance` alone, and plays the rest as its teacher did when it "
            f"was distilled: leave sampling.{', sampling.'.join(changed)} unset"
        )
