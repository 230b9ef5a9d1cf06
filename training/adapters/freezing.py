"""Which parameters of a net learn."""

from collections.abc import Collection

from torch import nn

from training.adapters.config import LOADED, AdapterRecipe
from training.adapters.low_rank import adapt
from training.errors import TrainingError


def prepare(model: nn.Module, rules: AdapterRecipe, loaded: Collection[str]) -> None:
    """Put an adapter's low-rank changes into a model, and freeze what is to stay.

    `loaded` are the parameters that came from the parent. Raises `TrainingError` where rules fit
    nothing of the model, or leave nothing to learn.
    """
    if rules.rank:
        adapt(model, rules, loaded)
    frozen = set(loaded) if rules.rank or LOADED in rules.frozen else set()
    names = [name for name, _ in model.named_parameters()]
    for part in rules.frozen:
        found = [name for name in names if f"{name}.".startswith(f"{part}.")]
        if not found and part != LOADED:
            raise TrainingError(f"adapter.frozen names {part}, but no part of the net begins so")
        frozen.update(found)
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    if not learned(model):
        raise TrainingError(
            "all of the net is frozen: give it an adapter.rank, or new parts such as model.rows"
        )


def learned(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
