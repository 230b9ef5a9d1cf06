"""How a student is distilled from a teacher: a section of the recipe, and which jumps it draws."""

from enum import StrEnum
from typing import Final, NamedTuple, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Confidence, Record
from training.objectives import ObjectiveConfig

DRAWS: Final = 2  # uniform ones of a sample, beside that of where its jump begins
# Of the way, as times: what is shorter is learned by denoising. In it the teacher's steps still
# lie on steps of their own in a table of a thousand.
SHORTEST: Final = 1 / 64


class TargetNet(StrEnum):
    """Which weights lead on where the teacher stops."""

    STUDENT = "student"  # those that learn, without gradients (Song & Dhariwal 2024)
    EMA = "ema"  # their average (Kim et al. 2024)


class DistilRecipe(Record):
    """How jumps are learned; for students alone (`model.jumps`)."""

    solver_steps: int = Field(
        4,
        ge=1,
        le=64,
        description=(
            "Steps (DPM-Solver++) in which the teacher leads the way for a target. SoundCTM: up "
            "to 39."
        ),
    )
    reach: float = Field(
        0.5,
        gt=0,
        le=1,
        description=(
            "How far these lead, in times, at most; from there on the student's own jump is taken "
            "for right. Of a longer reach fewer jumps lean on each other, but its steps are longer "
            "(on a mixture of Gaussians 0.5 was better than 0.125 and 0.25, and in one than 1)."
        ),
    )
    guidance: tuple[float, float] = Field(
        (1.0, 5.0),
        description=(
            "From where to where the teacher's guidance is drawn, which the student is told. "
            "SoundCTM: 2 to 5."
        ),
    )
    score_weight: float = Field(
        0.25,
        ge=0,
        description=(
            "Of the loss of denoising recordings beside that of jumps: a student's own reading of "
            "what is latent and what noise. Jumps are less exact for it: at 1 in the same trial, "
            "hardly at 0.25. Kim et al. 2024: 1, balanced. 0: none, and a fifth less work."
        ),
    )
    at_ends: Confidence = Field(
        0.25,
        description=(
            "Share of jumps that begin where all is noise, and of those that end in the latent: "
            "the long ones are played. The others lie anywhere."
        ),
    )
    target: TargetNet = Field(
        TargetNet.STUDENT, description="Whose jump leads on from there: student or ema."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.guidance
        if not 0 <= low <= high:
            raise SchemaError(f"distil.guidance {low:g} to {high:g} is not a range from 0 on")
        return self


class JumpStarts(NamedTuple):
    """Where jumps begin, as an objective says where noise does."""

    objective: ObjectiveConfig
    at_ends: float

    def time_of(self, draw: float, frames: int) -> float:
        """The time that a uniform draw from [0, 1) stands for.

        >>> from training.objectives.flow import FlowConfig
        >>> starts = JumpStarts(FlowConfig(), at_ends=0.25)
        >>> starts.time_of(0.1, 80), round(starts.time_of(0.625, 80), 3)
        (1.0, 0.508)
        """
        if draw < self.at_ends:
            return self.objective.spaced(1.0, frames)
        share = (draw - self.at_ends) / (1 - self.at_ends)
        return self.objective.spaced(SHORTEST + (1 - SHORTEST) * share, frames)
