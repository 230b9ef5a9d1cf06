"""Pieces that a model generated, as files: the sound, and what was requested beside it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import soundfile
from pydantic import Field

from pipelines.audio.decode import Wave
from schemas.controls import CONTROL_RATE_HZ
from schemas.labels import Labels
from schemas.pitch import Key
from schemas.record import PositiveSeconds, Record, Seconds
from training.conditions import Condition
from training.conditions.clip_controls import Span
from training.generation.generate import GenerationRequest, PiecePlayer
from training.generation.nearness import Nearness
from training.generation.steered import SteeredPiece
from training.generation.steered_facts import SteeredFacts, steered_facts
from training.samplers.config import SamplingConfig
from training.samplers.rounds_config import RoundsConfig

_SLUG: Final = 40  # characters of a prompt in a file's name


class AskedSpan(Record):
    """A part of a piece, in seconds."""

    start_s: Seconds
    end_s: PositiveSeconds


class AskedKey(AskedSpan):
    """A part of a piece in one key."""

    key: Key


class PieceCurves(Record):
    """Curves that were asked for, in frames of 1 / `rate_hz` s from the start; empty where one was
    not, and none in frames in which it was not.
    """

    dynamics_db: tuple[float | None, ...] = ()
    melody: tuple[int | None, ...] = ()
    onsets_per_s: tuple[float | None, ...] = ()
    rate_hz: float = CONTROL_RATE_HZ


class GeneratedPiece(Record):
    """What stands beside a piece's sound."""

    prompt: str
    labels: Labels  # as requested
    checkpoint: str
    codec_licence: str  # of the weights that made the sound: it is under it too
    seed: int
    number: str  # of the pieces of this seed
    sampling: SamplingConfig | RoundsConfig
    datasets: tuple[str, ...]  # names of the corpora that the model learned from
    curves: PieceCurves = PieceCurves()
    # when a control was asked for: what is not named, for all of the time
    known: dict[Condition, tuple[AskedSpan, ...]] = Field(default_factory=dict)
    keys: tuple[AskedKey, ...] = ()  # where the piece changes its key
    heard: Labels | None = None  # what annotators heard, where they were asked to
    refined_by: tuple[str, ...] = ()  # a vocoder, an upsampler: what played beside the model
    steered: SteeredFacts | None = None  # where more was asked of the piece than a net is told


def write_piece(
    folder: Path,
    request: GenerationRequest,
    wave: Wave,
    generator: PiecePlayer,
    *,
    seed: int,
    sampling: SamplingConfig | RoundsConfig,
    audio_format: str,
    steered: SteeredPiece | None = None,
) -> str:
    """Write ``<prompt>-<seed>-<number>`` as sound and JSON; returns the sound's path. 16 bits,
    the generator's rate and the codec's channels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{slug(request.prompt)}-{seed}-{request.key}"
    controls = steered.controls if steered else request.controls
    curves = controls.curves
    piece = GeneratedPiece(
        prompt=request.prompt,
        labels=controls.labels,
        checkpoint=generator.name,
        codec_licence=generator.survey.codec.licence,
        seed=seed,
        number=request.key,
        sampling=sampling,
        datasets=tuple(dataset.name or dataset.target for dataset in generator.survey.datasets),
        curves=PieceCurves(
            dynamics_db=curves.dynamics_db,
            melody=curves.melody,
            onsets_per_s=curves.onsets_per_s,
            rate_hz=curves.rate_hz,
        ),
        known={name: _spans(spans) for name, spans in controls.known.items()},
        keys=tuple(AskedKey(**one._asdict()) for one in controls.keys),
        refined_by=generator.refined_by,
        steered=steered_facts(steered) if steered else None,
    )
    sound = f"{path}.{audio_format}"
    soundfile.write(sound, wave, generator.rate_hz, format=audio_format.upper(), subtype="PCM_16")
    _write(Path(f"{path}.json"), piece)
    return sound


def _spans(spans: Sequence[Span]) -> tuple[AskedSpan, ...]:
    return tuple(AskedSpan(**one._asdict()) for one in spans)


def add_heard(sound: str, heard: Labels, near: Nearness | None = None) -> None:
    """Put what annotators heard in a piece into the JSON beside it, and how near that is."""
    path = Path(sound).with_suffix(".json")
    piece = GeneratedPiece.model_validate_json(path.read_text(encoding="utf-8"))
    steered = piece.steered
    if near is not None and steered is not None:
        steered = steered.replaced(
            near=(*steered.near, *near.lines), figures={**steered.figures, **near.figures}
        )
    _write(path, piece.replaced(heard=heard, steered=steered))


def _write(path: Path, piece: GeneratedPiece) -> None:
    path.write_text(piece.model_dump_json(indent=1) + "\n", encoding="utf-8")


def slug(prompt: str) -> str:
    """A prompt as part of a file's name.

    >>> slug("A calm song, in A minor!")
    'a-calm-song-in-a-minor'
    """
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return words[:_SLUG].rstrip("-") or "piece"
