"""Objectives: what a net learns of latents and noise. `path` says what they have in common.

A recipe chooses by `objective.kind`; one that names none is older than flows.
"""

from typing import Annotated

from pydantic import Tag

from schemas.kinds import kind_or
from training.objectives.diffusion import Diffusion, DiffusionConfig
from training.objectives.flow import Flow, FlowConfig
from training.objectives.path import Objective

ObjectiveConfig = Annotated[
    Annotated[DiffusionConfig, Tag("diffusion")] | Annotated[FlowConfig, Tag("flow")],
    kind_or("diffusion"),
]


def objective_of(config: ObjectiveConfig) -> Objective:
    """The objective of a recipe's section.

    >>> objective_of(FlowConfig()).is_straight
    True
    """
    return Flow(config) if isinstance(config, FlowConfig) else Diffusion(config)
