"""What a worker's child does for embeddings: it holds the embedder.

A plug-in's child may run in an environment of its own.

So this module imports little: no annotator, no Beam, no torch but what the embedder itself brings.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines import embedders
from pipelines.audio.decode import read_window, resampled
from pipelines.audio.fingerprint import Fingerprint, fingerprint
from pipelines.embedders import ClipSound, Description, Vectors, loaded
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput
from schemas.label_recipe import LabelRecipe
from schemas.labels import Labels

_AHEAD: Final = 2  # batches that are decoded while the model is at one


class SourceExcerpt(NamedTuple):
    """A piece of a local file to embed, with the clip's labels where the embedder reads them."""

    path: str
    start_s: float
    end_s: float
    labels: Labels | None


class EmbeddedClip(NamedTuple):
    """A clip's unit vector and its fingerprint."""

    vector: Vectors
    fingerprint: Fingerprint


class _ReadExcerpt(NamedTuple):
    sound: ClipSound
    fingerprint: npt.NDArray[np.uint32]


def describe(recipes: Sequence[LabelRecipe], _: None) -> list[Description]:
    """What each recipe's embedder is."""
    return [embedders.describe(recipe) for recipe in recipes]


def embed_texts(texts: Sequence[str], recipe: LabelRecipe) -> list[Vectors]:
    """One unit vector per text."""
    return list(loaded(recipe).embed_text(texts))


def embed_excerpts(
    excerpts: Sequence[SourceExcerpt], recipe: LabelRecipe
) -> list[EmbeddedClip | Death]:
    """One unit vector and fingerprint per excerpt; what cannot be decoded is dead.

    Files are read while the model works.
    """
    embedder, rate_hz = loaded(recipe), embedders.describe(recipe).rate_hz
    out: list[EmbeddedClip | Death] = []
    for batch in _read_ahead(excerpts, rate_hz, recipe):
        sounds = [read.sound for read in batch if isinstance(read, _ReadExcerpt)]
        vectors = iter(embedder.embed_audio(sounds) if sounds else ())
        out += [
            EmbeddedClip(next(vectors), read.fingerprint)
            if isinstance(read, _ReadExcerpt)
            else read
            for read in batch
        ]
    return out


def _read_ahead(
    excerpts: Sequence[SourceExcerpt], rate_hz: int, recipe: LabelRecipe
) -> Iterator[list[_ReadExcerpt | Death]]:
    """Excerpts in batches, in order; the next ones are being read while the caller has one."""
    read = partial(_read, rate_hz=rate_hz)
    with ThreadPoolExecutor(recipe.readers) as pool:
        remaining = iter(excerpts)
        under_way: deque[Future[_ReadExcerpt | Death]] = deque()

        def begin(number: int) -> None:
            under_way.extend(
                pool.submit(read, excerpt) for _, excerpt in zip(range(number), remaining)
            )

        begin(_AHEAD * recipe.batch)
        while under_way:
            batch = [under_way.popleft().result() for _ in range(min(recipe.batch, len(under_way)))]
            begin(len(batch))
            yield batch


def _read(excerpt: SourceExcerpt, rate_hz: int) -> _ReadExcerpt | Death:
    try:
        decoded = read_window(excerpt.path, excerpt.start_s, excerpt.end_s)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
    wave = decoded.wave if np.isfinite(decoded.wave).all() else np.zeros_like(decoded.wave)
    return _ReadExcerpt(
        ClipSound(resampled(wave, decoded.rate_hz, rate_hz), excerpt.labels),
        fingerprint(wave, decoded.rate_hz),
    )
