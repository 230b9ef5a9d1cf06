"""Pieces that a model generated, as files: the sound, and what was requested beside it."""

import re
from pathlib import Path
from typing import Final

import soundfile

from schemas.labels import Labels
from schemas.record import Record
from training.diffusion.sampling import SamplingConfig
from training.generation.generate import GenerationRequest, Generator, Wave

_SLUG: Final = 40  # characters of a prompt in a file's name


class GeneratedPiece(Record):
    """What stands beside a piece's sound."""

    prompt: str
    labels: Labels  # as requested
    checkpoint: str
    codec_licence: str  # of the weights that made the sound: it is under it too
    seed: int
    number: str  # of the pieces of this seed
    sampling: SamplingConfig
    datasets: tuple[str, ...]  # names of the corpora that the model learned from


def write_piece(
    folder: Path,
    request: GenerationRequest,
    wave: Wave,
    generator: Generator,
    *,
    seed: int,
    sampling: SamplingConfig,
    audio_format: str,
) -> str:
    """Write ``<prompt>-<seed>-<number>`` as sound and JSON; returns the sound's path. 16 bits,
    mono, the codec's rate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug(request.prompt)}-{seed}-{request.key}"
    piece = GeneratedPiece(
        prompt=request.prompt,
        labels=request.labels,
        checkpoint=generator.name,
        codec_licence=generator.survey.codec.licence,
        seed=seed,
        number=request.key,
        sampling=sampling,
        datasets=tuple(dataset.name or dataset.target for dataset in generator.survey.datasets),
    )
    sound = f"{path}.{audio_format}"
    soundfile.write(
        sound, wave, generator.codec.facts.rate_hz, format=audio_format.upper(), subtype="PCM_16"
    )
    Path(f"{path}.json").write_text(piece.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return sound


def slug(prompt: str) -> str:
    """A prompt as part of a file's name.

    >>> slug("A calm song, in A minor!")
    'a-calm-song-in-a-minor'
    """
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return words[:_SLUG].rstrip("-") or "piece"
