"""Batches, a codec and a text encoder for measurements: drawn at random, shaped as real ones."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

import torch

from pipelines.codecs import Codec
from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.conditions.rows import row_width
from training.data.loading import TrainingBatch
from training.diffusion.frozen_encoder import FrozenEncoder
from training.dit.config import DitConfig
from training.run.recipe import Precision, TrainRecipe

_RATE_HZ: Final = 16_000
_FRAME: Final = 640  # audio samples of a latent frame
_TOKENS: Final = (16, 160)  # of prompts: the fewest and the most


class Drawn(NamedTuple):
    """Where batches come from."""

    recipe: TrainRecipe
    codec: Codec
    pinned: bool

    def batches(self) -> Iterator[TrainingBatch]:
        """The same few micro-batches, again and again."""
        made = [self._batch(index) for index in range(4)]
        while True:
            yield from made

    def _batch(self, seed: int) -> TrainingBatch:
        rng = torch.Generator().manual_seed(seed)
        rows, facts = self.recipe.data.micro_batch, self.codec.facts
        frames = facts.frames(round(self.recipe.data.seconds * facts.rate_hz))
        latents, noise = torch.randn(2, rows, facts.channels, frames, facts.bands, generator=rng)
        width = row_width(self.recipe.model.rows) if self.recipe.model.rows else 0
        words = torch.randint(*_TOKENS, (rows,), generator=rng).tolist()
        made = TrainingBatch(
            keys=tuple(str(index) for index in range(rows)),
            prompts=tuple("la " * count for count in words),
            beats=batched_beats([None] * rows),
            chords=batched_chords([None] * rows),
            rows_BTR=torch.zeros(rows, frames, width) if width else None,
            seconds_B2=torch.zeros(rows, 2),
            sounds=latents,
            frames_B=torch.full((rows,), frames),
            noise_BCTF=noise,
            times_B=torch.rand(rows, generator=rng) * 0.98 + 0.01,
            draws_BD=torch.zeros(rows, 0),
            unusable=(),
        )
        return cast(TrainingBatch, _pinned(made)) if self.pinned else made


def drawn(recipe: TrainRecipe, *, pinned: bool) -> Drawn:
    """Batches for a recipe, in memory that a GPU copies from where asked."""
    bands = recipe.model.latent_bands if isinstance(recipe.model, DitConfig) else 16
    facts = SimpleNamespace(
        channels=recipe.model.latent_channels,
        bands=bands,
        rate_hz=_RATE_HZ,
        frames=lambda samples: samples // _FRAME,
    )
    return Drawn(recipe, cast(Codec, SimpleNamespace(facts=facts)), pinned)


def _pinned(value: Any) -> Any:
    from torch.utils.data._utils.pin_memory import pin_memory

    return pin_memory(value)  # type: ignore[no-untyped-call]


def rehearsed(recipe: TrainRecipe) -> TrainRecipe:
    """A recipe as narrow and short as it can be."""
    model = recipe.model
    if isinstance(model, DitConfig):
        model = model.replaced(width=64, depth=1, head_width=32, text_width=32)
    else:
        model = model.replaced(
            widths=(32, 32),
            attended=(False, True),
            layers=1,
            head_width=32,
            text_width=32,
            control_width=32,
        )
    data = recipe.data.replaced(seconds=0.5, batch=4, micro_batch=2)
    run = recipe.run.replaced(precision=Precision.FP32)  # in bf16 convolutions crawl on a CPU
    return recipe.replaced(model=model, data=data, run=run)


class _Words:
    """A tokenizer: a token a word."""

    def __call__(self, prompts: list[str], max_length: int, **_: object) -> Any:
        from transformers import BatchEncoding

        counts = [min(max_length, len(prompt.split()) + 1) for prompt in prompts]
        longest = -(-max(counts) // 8) * 8
        mask = torch.arange(longest) < torch.tensor(counts)[:, None]
        return BatchEncoding({"input_ids": mask.long(), "attention_mask": mask.long()})


def flan_shaped(width: int, device: torch.device, narrow: bool) -> FrozenEncoder:
    """An encoder shaped as FLAN-T5-large, or narrow."""
    from transformers import T5Config, T5EncoderModel

    shape: dict[str, Any] = {
        "d_kv": 64,
        "d_ff": 2816,
        "num_layers": 24,
        "num_heads": 16,
        "vocab_size": 32128,
    }
    if narrow:
        shape = {"d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 16}
    config = T5Config(d_model=width, feed_forward_proj="gated-gelu", **shape)
    with device:
        model = T5EncoderModel(config)
    model.train(False)
    return FrozenEncoder("drawn", model, _Words())
