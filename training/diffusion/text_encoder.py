"""Frozen text encoders: prompts to the states that attention reads. Ours are in frozen_encoder.py;
others are plug-ins (pipelines/plug_ins.py).

Shapes: B prompts, L tokens, D width of a state.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

import torch

from pipelines.plug_ins import Door
from training.conditions.tokens import Tokens, padded_length

OURS: Final = "transformers"  # what recipes call our own encoders
MINILM: Final = "minilm"
FLAN_T5: Final = "google/flan-t5-large"  # Mustango's; 1024 wide
# what is beyond is not read; MiniLM was trained with no more, and ten sentences are about 200
MAX_TOKENS: Final = 256


class TextEncoder(Protocol):
    """Prompts to states.

    The same prompt gives the same states, so they can be computed once and kept.
    """

    @property
    def width(self) -> int:
        """D."""

    @property
    def identity(self) -> str:
        """Name, weights and limit: kept states are of use to whoever has the same."""

    def encode(self, prompts: Sequence[str]) -> Tokens:
        """States of prompts. An empty one has at least one token, such as an end of sentence."""


class TextEncoderModule(Protocol):
    """What a text encoder's module offers."""

    def open_text_encoder(
        self, source: str = "", device: str = "cpu", max_tokens: int = MAX_TOKENS
    ) -> TextEncoder:
        """The encoder with the weights at `source`, its own default where that is empty. Raises
        `TrainingError` or `PipelineError` where they cannot be read.
        """
        ...


TEXT_ENCODERS: Final = Door[TextEncoderModule](
    kind="text encoder",
    group="obbligato.text_encoders",
    built_in={OURS: "training.diffusion.frozen_encoder"},
    needs=("open_text_encoder",),
    extra="train",
)


def open_text_encoder(
    source: str = MINILM, device: str = "cpu", max_tokens: int = MAX_TOKENS, encoder: str = OURS
) -> TextEncoder:
    """MiniLM by its name ``minilm``, or a T5 by its id on the Hugging Face hub or its folder; or
    what a plug-in makes of a source.

    Raises `TrainingError` where it cannot be read, `PipelineError` where no such plug-in is there.

    >>> encoder = open_text_encoder()
    >>> encoder.width, tuple(encoder.encode(["A flute plays.", ""]).mask_BL.sum(1).tolist())
    (384, (6, 2))
    """
    is_ours_alone = source == MINILM and not TEXT_ENCODERS.is_built_in(encoder)
    module = TEXT_ENCODERS.offer(encoder)
    return module.open_text_encoder("" if is_ours_alone else source, device, max_tokens)


def compact_states(tokens: Tokens) -> list[torch.Tensor]:
    """Each prompt's states, without padding, in half precision: (L, D) each, to be kept."""
    return [
        states_LD[mask_L].half().cpu()
        for states_LD, mask_L in zip(tokens.states_BLD, tokens.mask_BL, strict=True)
    ]


def batched_states(compact: Sequence[torch.Tensor]) -> Tokens:
    """Kept states as a batch again, in float32."""
    lengths = [len(states_LD) for states_LD in compact]
    states_BLD = torch.zeros(len(compact), padded_length(lengths), compact[0].shape[1])
    for row_LD, states_LD in zip(states_BLD, compact, strict=True):
        row_LD[: len(states_LD)] = states_LD
    return Tokens(states_BLD, torch.arange(states_BLD.shape[1]) < torch.tensor(lengths)[:, None])


class TextCache:
    """An encoder that remembers its last prompts, up to a number of bytes.

    Prompts are encoded one by one and kept in half precision, and given back from there even the
    first time: so the states of a prompt depend on nothing else, not on what came before. Without
    memory they are encoded together.
    """

    def __init__(self, encoder: TextEncoder, limit_mb: float) -> None:
        self._encoder, self._limit, self._bytes = encoder, int(limit_mb * 2**20), 0
        self._states: OrderedDict[str, torch.Tensor] = OrderedDict()

    def encode(self, prompts: Sequence[str]) -> Tokens:
        """States of prompts."""
        if not self._limit:
            return self._encoder.encode(prompts)
        return batched_states([self._of(prompt) for prompt in prompts])

    def _of(self, prompt: str) -> torch.Tensor:
        if prompt in self._states:
            self._states.move_to_end(prompt)
            return self._states[prompt]
        states_LD = self._states[prompt] = compact_states(self._encoder.encode([prompt]))[0]
        self._bytes += states_LD.nbytes
        while self._bytes > self._limit and len(self._states) > 1:
            self._bytes -= self._states.popitem(last=False)[1].nbytes
        return states_LD
