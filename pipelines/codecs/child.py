"""What a worker's child does for latents and codes: it holds the codec."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import groupby
from typing import NamedTuple

import numpy as np

from pipelines.audio.decode import Wave, decoded_at
from pipelines.codecs import Codec, CodecFacts, open_codec
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput, PipelineError
from pipelines.storage.arrow import npy_bytes
from schemas.codec import CodeFacts
from schemas.recipe import EncodeRecipe


def describe(recipes: Sequence[EncodeRecipe], _: None) -> list[CodecFacts]:
    """What each recipe's codec is. Its weights are read: their hash is the version."""
    return [_opened(recipe.codec, recipe.source, recipe.device).facts for recipe in recipes]


def describe_codes(recipes: Sequence[EncodeRecipe], _: None) -> list[CodeFacts]:
    """What the codes of each recipe's codec are. Raises `PipelineError` where it has none."""
    from pipelines.codecs.token_codec import code_facts, with_codes

    opened = (_opened(recipe.codec, recipe.source, recipe.device) for recipe in recipes)
    return [code_facts(with_codes(codec)) for codec in opened]


class EncodedSample(NamedTuple):
    """NumPy files of a sample: latents (C, T, F) in half precision; codes (L, T), 16 bits each,
    empty where the recipe wants none.
    """

    latents: bytes
    codes: bytes = b""


def encode_samples(flacs: Sequence[bytes], recipe: EncodeRecipe) -> list[EncodedSample | Death]:
    """Latents of each FLAC, and codes; neighbours of one length are encoded at once.

    Files are read while the codec works. Raises `PipelineError` where a batch does not fit in
    memory.
    """
    codec = _opened(recipe.codec, recipe.source, recipe.device)
    out: list[EncodedSample | Death] = []
    with ThreadPoolExecutor(recipe.readers) as pool:
        for read in _batches(pool.map(partial(_read, facts=codec.facts), flacs), recipe.batch):
            dead = [one for one in read if isinstance(one, Death)]
            out += dead or _encoded(
                codec, [one for one in read if not isinstance(one, Death)], recipe
            )
    return out


@lru_cache(maxsize=1)
def _opened(name: str, source: str, device: str) -> Codec:
    """The last codec stays in memory."""
    return open_codec(name, source, device)


def _batches(read: Iterator[Wave | Death], size: int) -> Iterator[list[Wave | Death]]:
    """Neighbours of one length, so many at most; waves and the dead never in one."""
    for _, run in groupby(read, lambda one: -1 if isinstance(one, Death) else len(one)):
        yield from bucket.batches(run, size)


def _read(flac: bytes, facts: CodecFacts) -> Wave | Death:
    try:
        return decoded_at(flac, facts.rate_hz, stereo=facts.is_stereo)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)


def _encoded(
    codec: Codec, waves: Sequence[Wave], recipe: EncodeRecipe
) -> list[EncodedSample | Death]:
    # late, as what else loads it: whoever drives the work names these functions, and does without
    from pipelines.codecs.layout import for_codec
    from pipelines.codecs.token_codec import with_codes
    from pipelines.engine.out_of_memory import is_out_of_memory

    try:
        latents_BCTF = codec.encode(for_codec(waves).to(recipe.device))
        # of the latents before they are stored in half precision: the codec's own
        codes = list(with_codes(codec).codes_of(latents_BCTF).cpu()) if recipe.codes else []
        stored = list(latents_BCTF.cpu().numpy())
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        seconds = len(waves[0]) / codec.facts.rate_hz
        raise PipelineError(
            f"{len(waves)} samples of {seconds:.1f} s do not fit in memory at once: lower "
            "encode.batch, or raise limits.memory_mb"
        ) from error
    files = [npy_bytes(codes_LT.numpy().astype(np.uint16)) for codes_LT in codes]
    return [
        _sample_files(latents_CTF, file)
        for latents_CTF, file in zip(stored, files or [b""] * len(stored), strict=True)
    ]


def _sample_files(
    latents_CTF: np.ndarray[tuple[int, ...], np.dtype[np.float32]], codes: bytes
) -> EncodedSample | Death:
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(latents_CTF, np.float16)
    if not np.isfinite(half).all():
        return Death(
            "not_finite",
            "the codec gave latents that are not finite, or too large for half precision",
        )
    return EncodedSample(npy_bytes(half), codes)
