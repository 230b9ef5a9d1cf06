"""Compiling a net in parts, for a few lengths of tokens, with code that is kept for the next start.

One block is compiled and serves all that are shaped like it, in seconds rather than minutes for
the whole net; and gradients of a block are there, to be exchanged, while those before it are still
computed.

What the compiler has made is code, so it is not kept in the run's folder, which is data and may
come from others, but among its user's own caches; ``TORCHINDUCTOR_CACHE_DIR`` names another place,
such as a volume that a pod keeps.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.nn.functional import pad

from training.conditions.beats import BeatBatch
from training.conditions.chords import ChordBatch
from training.conditions.limits import TokenLimits
from training.conditions.tokens import Tokens, padded_length
from training.diffusion.model import Conditions
from training.nets import compiled_parts

_GRAPHS: Final = 128  # of one kind of part: by default 8, and widths and lengths make more
_TEXT_LENGTHS: Final = (64, 128, 256)
_CACHE: Final = "TORCHINDUCTOR_CACHE_DIR"


def compile_parts(model: nn.Module) -> None:
    """Compile the parts of a model's net, each when it is first called."""
    if not os.environ.get(_CACHE):
        os.environ[_CACHE] = str(_own_cache())
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _GRAPHS)
    for part in compiled_parts(model):
        part.compile(dynamic=False)  # a graph for each width: one for all would be slower


def _own_cache() -> Path:
    """Where this user keeps what can be made again."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "obbligato" / "compiled"


@contextmanager
def uncompiled() -> Iterator[None]:
    """Around a batch of a shape of its own, for which compiling would take longer than it does."""
    with torch.compiler.set_stance("force_eager"):
        yield


def fixed_lengths(conditions: Conditions, limits: TokenLimits) -> Conditions:
    """The same conditions padded to one of a few lengths, for each of which a net is compiled;
    beats and chords to their limits.
    """
    text, beats, chords = conditions.text, conditions.beats, conditions.chords
    length = text.mask_BL.shape[1]
    known = next((one for one in _TEXT_LENGTHS if one >= length), length)
    more = known - length
    return conditions._replace(
        text=Tokens(pad(text.states_BLD, (0, 0, 0, more)), pad(text.mask_BL, (0, more))),
        beats=BeatBatch(*_longer(beats, padded_length([limits.beats]))),
        chords=ChordBatch(*_longer(chords, padded_length([limits.chords]))),
    )


def _longer(parts: tuple[torch.Tensor, ...], length: int) -> list[torch.Tensor]:
    """Rows padded with zeros, which a mask of falses hides."""
    return [pad(part, (0, length - part.shape[1])) for part in parts]
