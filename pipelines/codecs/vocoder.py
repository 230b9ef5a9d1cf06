"""A vocoder of one's own: what plays the spectrogram of `mel` and `vae` in place of Griffin-Lim.

`obbligato train vocoder` makes one; `vocoder_net.py` is its network. What latents are does not
depend on it.

Shapes: B clips, S samples, M mel bands, N mel frames.
"""

from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import torch

from pipelines.codecs import Codec
from pipelines.codecs.mel import SPECTROGRAM, Play
from pipelines.codecs.vocoder_net import VocoderNet
from pipelines.codecs.vocoder_shape import VocoderConfig
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import weights_hash
from pipelines.pretrained.own_weights import OwnPart

FOLDER: Final = "vocoder"  # within the source
_PART: Final = OwnPart(
    what="vocoder",
    folder=FOLDER,
    command="train vocoder",
    config=VocoderConfig,
    net=lambda config: VocoderNet(config.net),
)


@runtime_checkable
class LevelsCodec(Protocol):
    """A codec whose latents stand for a spectrogram, which others may play."""

    def played_by(self, vocoder: Play) -> Codec:
        """The same latents, played by a vocoder."""
        ...


class Vocoder:
    """Levels to waves, on the device of its weights."""

    def __init__(self, net: VocoderNet) -> None:
        self._net = net.requires_grad_(False)

    @cached_property
    def name(self) -> str:
        """What it is, with a hash of its weights, as a lead sheet has it."""
        return f"vocoder {weights_hash(self._net)}"

    def __call__(self, levels_BMN: torch.Tensor) -> torch.Tensor:
        """Waves (B, S); gradients pass."""
        made_BS: torch.Tensor = self._net(levels_BMN)
        return made_BS


def open_vocoder(source: str, device: str = "cpu") -> Vocoder:
    """The vocoder by the folder that its training wrote.

    Raises `PipelineError` where it cannot be read, or plays another spectrogram.
    """
    config, net = _PART.opened(source, device)
    _check_spectrogram(config, source)
    return Vocoder(net)


def _check_spectrogram(config: VocoderConfig, source: str) -> None:
    theirs, ours = config.spectrogram.model_dump(), SPECTROGRAM.model_dump()
    other = [
        f"{name} {theirs[name]:g} (mel: {ours[name]:g})"
        for name in ours
        if theirs[name] != ours[name]
    ]
    if other:
        raise PipelineError(
            f"the vocoder at {source!r} plays another spectrogram than that of mel: "
            f"{', '.join(other)}"
        )


def with_vocoder(codec: Codec, vocoder: Vocoder) -> Codec:
    """A codec with the same latents that a vocoder plays.

    Raises `PipelineError` for a codec whose latents are not a spectrogram of `mel`.
    """
    if not isinstance(codec, LevelsCodec):
        raise PipelineError(
            f"{codec.facts.name} plays its latents itself: a vocoder is for the codecs mel and vae"
        )
    return codec.played_by(vocoder)
