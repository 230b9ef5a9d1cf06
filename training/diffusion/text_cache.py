"""States of prompts from a frozen encoder, kept where the same prompts come again."""

from collections import OrderedDict
from collections.abc import Sequence

import torch

from training.conditions.tokens import Tokens
from training.diffusion.text_encoder import TextEncoder, batched_states, compact_states


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
