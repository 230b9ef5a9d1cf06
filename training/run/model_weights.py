"""Weights put into a model: they are its own by name and shape, and all of them are numbers."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from pipelines.pretrained.own_weights import strange_names
from training.diffusion.model import LatentDiffusion
from training.errors import TrainingError
from training.run.parallel import copy_into, local_tensor
from training.run.tensor_files import Weights

_LARGEST: Final = 1e6  # of trained weights the largest are about 10


def fill_weights(model: LatentDiffusion, weights: Weights, name: str) -> None:
    """Put weights into a model.

    Raises `TrainingError` where their names or shapes are not its own, or a number is not finite.
    """
    fill(dict(model.named_parameters()), weights, name)


@torch.no_grad()
def fill(parameters: Mapping[str, nn.Parameter], weights: Weights, name: str) -> None:
    """Put weights into parameters.

    Raises `TrainingError` where names or shapes differ.
    """
    _check_shapes(parameters, weights, name)
    for key, parameter in parameters.items():
        copy_into(parameter, weights[key])
        if not local_tensor(parameter).isfinite().all():
            raise TrainingError(
                f"{name} holds numbers that are not finite, such as in {key}: its disk or its "
                "writer failed"
            )


@torch.no_grad()
def begin_with(model: LatentDiffusion, weights: Weights) -> None:
    """Put another model's weights into one that has all of its parts, and maybe more.

    Raises `TrainingError` where it has not.
    """
    own = dict(model.named_parameters())
    there = {name: own[name] for name in weights if name in own}
    fill(there, weights, "what run.start_from names")
    net = model.get_submodule(model.kind)
    copy = getattr(net, "row_copy", None)
    if copy is not None and not any(".row_copy." in name for name in weights):
        copy.begin_as(net)


def check_shapes(model: nn.Module, weights: Weights, name: str) -> None:
    """Raise `TrainingError` where weights are not a model's own by name and shape; a model on the
    meta device will do.
    """
    _check_shapes(dict(model.named_parameters()), weights, name)


def _check_shapes(parameters: Mapping[str, nn.Parameter], weights: Weights, name: str) -> None:
    strange = strange_names(parameters, weights)
    if strange:
        raise TrainingError(
            f"{name} is of another model: {len(strange)} "
            f"weights do not fit, the first is {strange[0]}"
        )


def strange_weights(model: nn.Module) -> list[str]:
    """The first of a process's weights that no training leads to, in words, if there is one."""
    for name, parameter in model.named_parameters():
        largest = (
            float(local_tensor(parameter.detach()).abs().amax())
            if local_tensor(parameter).numel()
            else 0.0
        )
        if not largest <= _LARGEST:  # nor is NaN
            return [f"{name} holds {largest:.3g}"]
    return []
