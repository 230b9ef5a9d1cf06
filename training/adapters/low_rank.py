"""Low-rank changes of linear maps: E. Hu et al., "LoRA", 2021 (arXiv 2106.09685).

Names are those of peft's files (`lora_A`, `lora_B`), so that what reads them reads ours.
"""

import math
from collections.abc import Collection, Mapping
from typing import Final

import torch
from torch import nn

from training.adapters.config import AdapterRecipe
from training.errors import TrainingError

_DOWN: Final = ".lora_A.weight"
_UP: Final = ".lora_B.weight"


class LowRankLinear(nn.Linear):
    """A linear map with a low-rank change beside it, which begins as nothing.

    Weight and bias keep their names and their memory.
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        has_bias = base.bias is not None
        super().__init__(base.in_features, base.out_features, bias=has_bias, device="meta")
        self.weight, self.scale = base.weight, scale
        if has_bias:
            self.bias = base.bias
        self.lora_A = nn.Linear(base.in_features, rank, bias=False).to(base.weight)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False).to(base.weight)
        if not base.weight.is_meta:
            nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
            nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) to (…, out)."""
        out: torch.Tensor = super().forward(x) + self.scale * self.lora_B(self.lora_A(x))
        return out


def adapt(model: nn.Module, rules: AdapterRecipe, loaded: Collection[str]) -> list[str]:
    """Put a low-rank change beside each target among the `loaded` parameters of a model; returns
    their names. A target that is new in the model learns as a whole.

    Raises `TrainingError` where a target is no linear map that was loaded.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and f"{name}.weight" in loaded
        and any(_ends(name, end) for end in rules.targets)
    }
    absent = [end for end in rules.targets if not any(_ends(name, end) for name in found)]
    if absent:
        raise TrainingError(
            f"adapter.targets names {', '.join(absent)}, but no linear map that was loaded ends so"
        )
    for name, linear in found.items():
        holder, _, last = name.rpartition(".")
        setattr(model.get_submodule(holder), last, LowRankLinear(linear, rules.rank, rules.scale))
    return list(found)


def _ends(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def merged(
    base: Mapping[str, torch.Tensor], adapter: Mapping[str, torch.Tensor], scale: float
) -> dict[str, torch.Tensor]:
    """The weights of a net with what an adapter learned on top: low-rank changes added, all else
    in its place, or beside it where the base has no such part.

    Raises `TrainingError` where they do not belong together.
    """
    out = dict(base)
    for name, value in adapter.items():
        if name.endswith(_DOWN):
            target = f"{name.removesuffix(_DOWN)}.weight"
            up = adapter.get(f"{name.removesuffix(_DOWN)}{_UP}")
            out[target] = _changed(target, base.get(target), value, up, scale)
        elif not name.endswith(_UP):
            out[name] = value
    return out


def _changed(
    name: str,
    weight: torch.Tensor | None,
    down: torch.Tensor,
    up: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    if weight is None or up is None or weight.shape != (len(up), down.shape[1]):
        raise TrainingError(f"the adapter changes {name}, which its parent has not, or not so")
    return weight + scale * (up @ down)
