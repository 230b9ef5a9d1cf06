"""Small shards of told samples, for tests of training: a tone, its chord, its beats, with latents
or without.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.storage.tar import TarWriter
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import CLIP, flac, our_sample

CHANNELS, FRAMES, BANDS = 64, 16, 8  # of mel latents of two seconds


def sample_of(number: int, **fields: Any) -> Sample:
    """A sample of a song of its own."""
    song_id = f"{number:016x}"
    clip_key = CLIP.replace("00112233445566aa", song_id)
    return our_sample(key=f"{clip_key}-orig", clip_key=clip_key, song_id=song_id, **fields)


def latent(number: int, frames: int = FRAMES) -> bytes:
    out = io.BytesIO()
    values = (
        np.random.default_rng(number).standard_normal((CHANNELS, frames, BANDS)).astype(np.float16)
    )
    np.save(out, values)
    return out.getvalue()


def codes(of_books: Sequence[int], frames: int) -> bytes:
    """Codes of which each book has one at all times, as a shard has them."""
    out = io.BytesIO()
    np.save(out, np.repeat(np.array(of_books, np.uint16)[:, None], frames, axis=1))
    return out.getvalue()


def write_shard(
    path: Path,
    numbers: range,
    *,
    latents: bool = True,
    split: str = "train",
    seconds: float = 2.0,
    codes_of: Callable[[int], bytes] | None = None,
) -> Path:
    """A shard of samples by number, without an index beside it; with codes, where something gives
    them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        tar = TarWriter(out)
        for number in numbers:
            sample = sample_of(number, split=split, duration_s=seconds, end_s=seconds)
            if latents:
                frames = round(seconds * FRAMES / 2)
                tar.add(f"{sample.key}.latent.npy", latent(number, frames))
            if codes_of is not None:
                tar.add(f"{sample.key}.codes.npy", codes_of(number))
            tar.add(f"{sample.key}.flac", flac(seconds))
            tar.add(f"{sample.key}.json", sample.model_dump_json().encode())
        tar.close()
    return path
