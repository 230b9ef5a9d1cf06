"""Weights that a training of ours has made, in a folder: a configuration, and beside it the
tensors.

Folders may be a stranger's: no more memory is taken than their weights have numbers, whatever a
configuration says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import safetensors.torch
import torch
from torch import nn

from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import first_line
from schemas.record import Record

CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.safetensors"
C = TypeVar("C", bound=Record)
N = TypeVar("N", bound=nn.Module)


def write_weights(net: nn.Module, config: Record, folder: Path) -> None:
    """Write a network's weights, and what says its shape."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in net.state_dict().items()}
    (folder / _WEIGHTS).write_bytes(safetensors.torch.save(weights))
    # last: without it, nothing is there
    (folder / CONFIG).write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")


class OpenedPart(NamedTuple, Generic[C, N]):
    """What lay in a folder: its configuration, and the network with its weights."""

    config: C
    net: N


@dataclass(frozen=True, kw_only=True)
class OwnPart(Generic[C, N]):
    """What a training of ours writes, and how it is read back."""

    what: str  # such as "vocoder"
    folder: str  # within the source
    command: str  # that writes it, such as "train vocoder"
    config: type[C]
    net: Callable[[C], N]
    error: type[Exception] = PipelineError

    def opened(self, source: str, device: torch.device | str = "cpu") -> OpenedPart[C, N]:
        """By the folder that its training wrote, ready to play on a device.

        Raises `error` where it cannot be read, or weights are not the network's own or not finite.
        """
        folder = Path(source) / self.folder
        try:
            config = self.config.model_validate_json((folder / CONFIG).read_bytes())
            weights = safetensors.torch.load_file(str(folder / _WEIGHTS))
            with torch.device("meta"):  # shapes alone
                _check(self.net(config).state_dict(), weights)
            net = self.net(config)
            net.load_state_dict(weights)
        # what reading a record, and weights, raises
        except (OSError, ValueError, safetensors.SafetensorError, RuntimeError) as error:
            raise self.error(
                f"no {self.what} at {source!r}: expected a folder with {self.folder}/ in it, as "
                f"`obbligato {self.command}` writes it at its end ({first_line(error)})"
            ) from error
        return OpenedPart(config, net.to(device).eval())


def strange_names(
    own: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]
) -> list[str]:
    """Names that only one of both has, or else those of other shapes.

    >>> one, two = torch.zeros(1), torch.zeros(2)
    >>> strange_names({"a": one, "b": one}, {"b": two, "c": one})
    ['a', 'c']
    >>> strange_names({"a": one, "b": one}, {"a": one, "b": two})
    ['b']
    """
    return sorted(own.keys() ^ weights.keys()) or [
        name for name, value in weights.items() if value.shape != own[name].shape
    ]


def _check(own: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]) -> None:
    strange = strange_names(own, weights)
    if strange:
        raise ValueError(
            f"{len(strange)} weights do not fit its {CONFIG}, the first is {strange[0]}"
        )
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"its weights hold numbers that are not finite, such as in {broken[0]}")
