"""Nets: what predicts. A recipe chooses by `model.kind`; one that names none is a MuNet."""

from typing import Annotated, Final, Protocol

import torch
from pydantic import Tag
from torch import nn

from schemas.kinds import kind_or
from training.conditions.net_shape import NetShape
from training.conditions.tokens import Context
from training.dit.block import DitBlock
from training.dit.config import DitConfig
from training.dit.net import Dit
from training.munet.attention import AttentionSite
from training.munet.blocks import ResBlock, UNetLayer
from training.munet.config import MuNetConfig
from training.munet.net import MuNet
from training.released.config import ReleasedConfig
from training.released.net import ReleasedNet

NetConfig = Annotated[
    Annotated[MuNetConfig, Tag("munet")]
    | Annotated[DitConfig, Tag("dit")]
    | Annotated[ReleasedConfig, Tag("released")],
    kind_or("munet"),
]
_SHARED: Final = (UNetLayer, DitBlock)
_COMPILED: Final = (ResBlock, AttentionSite, DitBlock)


class Net(Protocol):
    """Predicts an objective's target from a noisy latent and its conditions."""

    @property
    def config(self) -> NetShape:
        """Its shape."""

    def __call__(
        self,
        x_BCTF: torch.Tensor,
        steps_B: torch.Tensor,
        context: Context,
        seconds_B2: torch.Tensor | None = None,
        rows_BTR: torch.Tensor | None = None,
        frames_B: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The prediction, shaped as the latent.

        `steps_B` are the objective's, from 0 to about 1000. `seconds_B2`: start of the clip and
        length of its song. `rows_BTR`: frame rows. `frames_B`: frames that are not padding.
        """


def net_of(config: NetConfig, *, checkpointing: bool = False) -> MuNet | Dit | ReleasedNet:
    """A fresh net of a shape.

    >>> from training.dit.config import TINY_DIT
    >>> type(net_of(TINY_DIT)).__name__
    'Dit'
    """
    if isinstance(config, DitConfig):
        return Dit(config, checkpointing=checkpointing)
    if isinstance(config, ReleasedConfig):
        return ReleasedNet(config, checkpointing=checkpointing)
    return MuNet(config, checkpointing=checkpointing)


def shared_parts(model: nn.Module) -> list[nn.Module]:
    """Parts of a model that are gathered by themselves where processes hold shares of it."""
    return _parts(model, _SHARED)


def compiled_parts(model: nn.Module) -> list[nn.Module]:
    """Parts of a model that are compiled by themselves."""
    return _parts(model, _COMPILED)


def _parts(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """Parts of our own kinds, and the blocks of a released net, whose kinds are its library's."""
    blocks = {
        id(one) for net in model.modules() if isinstance(net, ReleasedNet) for one in net.blocks
    }
    return [one for one in model.modules() if isinstance(one, kinds) or id(one) in blocks]
