"""Frozen text encoders: prompts to the states that attention reads.

FLAN-T5 (Chung et al. 2022) as TANGO and Mustango use it, by id or folder; MiniLM from its wheel,
which needs no download.

Shapes: B prompts, L tokens, D width of a state.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Protocol

import torch

from pipelines.embedders import minilm
from pipelines.pretrained.checksum import STORED, first_line, weights_hash
from pipelines.pretrained.hub import pinned
from training.conditions.tokens import Tokens, padded_length
from training.errors import TrainingError

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


class FrozenEncoder:
    """An encoder of transformers with its tokenizer, in eval mode, without gradients."""

    def __init__(self, name: str, model: Any, tokenizer: Any, max_tokens: int = MAX_TOKENS) -> None:
        self._name, self._model, self._tokenizer, self._max_tokens = (
            name,
            model.requires_grad_(False),
            tokenizer,
            max_tokens,
        )

    @cached_property
    def width(self) -> int:
        """D."""
        return int(self._model.config.hidden_size)

    @cached_property
    def identity(self) -> str:
        """``google/flan-t5-large 1a2b3c4d 256``."""
        return f"{self._name} {weights_hash(self._model)} {self._max_tokens}"

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tokens:
        """States of prompts in float32, on the device of the weights, whatever precision is
        computed in around it.

        Of a prompt over `max_tokens`, the rest is not read.
        """
        read = self._tokenizer(
            list(prompts),
            padding=True,
            pad_to_multiple_of=8,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._model.device)
        with torch.autocast(self._model.device.type, enabled=False):
            states_BLD = self._model(
                input_ids=read.input_ids, attention_mask=read.attention_mask
            ).last_hidden_state
        return Tokens(states_BLD.float(), read.attention_mask.bool())


def open_text_encoder(
    source: str = MINILM, device: str = "cpu", max_tokens: int = MAX_TOKENS
) -> TextEncoder:
    """MiniLM by its name ``minilm``, or a T5 by its id on the Hugging Face hub or its folder.

    Raises `TrainingError` where it cannot be read.

    >>> encoder = open_text_encoder()
    >>> encoder.width, tuple(encoder.encode(["A flute plays.", ""]).mask_BL.sum(1).tolist())
    (384, (6, 2))
    """
    from transformers import AutoModel, AutoTokenizer, T5EncoderModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        if source == MINILM:
            source, name = str(minilm.folder()), minilm.NAME
            kind: Any = AutoModel
        else:
            name, kind = source, T5EncoderModel
        place, revision = pinned(source)
        local = kind is AutoModel
        model, told = kind.from_pretrained(
            place,
            revision=revision,
            use_safetensors=True,
            local_files_only=local,
            output_loading_info=True,
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(place, revision=revision)
    except Exception as error:
        # configurations and weights of others bring libraries to raise anything
        expected = f"expected {MINILM}, or the id or folder of a T5, with {STORED}"
        raise TrainingError(
            f"no text encoder at {source!r}: {expected} ({first_line(error)})"
        ) from error
    if told["missing_keys"]:  # else they would be random, without a word
        raise TrainingError(f"the weights at {source!r} lack {min(told['missing_keys'])}")
    return FrozenEncoder(name, model.to(device), tokenizer, max_tokens)


def kept_states(tokens: Tokens) -> list[torch.Tensor]:
    """Each prompt's states, without padding, in half precision: (L, D) each, to be kept."""
    return [
        states_LD[mask_L].half().cpu()
        for states_LD, mask_L in zip(tokens.states_BLD, tokens.mask_BL, strict=True)
    ]


def batched_states(kept: Sequence[torch.Tensor]) -> Tokens:
    """Kept states as a batch again, in float32."""
    lengths = [len(states_LD) for states_LD in kept]
    states_BLD = torch.zeros(len(kept), padded_length(lengths), kept[0].shape[1])
    for row_LD, states_LD in zip(states_BLD, kept, strict=True):
        row_LD[: len(states_LD)] = states_LD
    return Tokens(states_BLD, torch.arange(states_BLD.shape[1]) < torch.tensor(lengths)[:, None])
