"""Requests of a model played to files, those of one length together, and heard again."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from flows.models.sampling import SamplingRequest
from pipelines.engine.bucket import batches
from pipelines.reports.annotate_files import FileLabels, annotate_files
from schemas.recipe import Recipe
from training.generation.generate import Generator
from training.generation.write import add_heard, write_piece
from training.samplers.config import SamplingConfig


class PieceJob(NamedTuple):
    """One piece to be played: its request, and the seed and key that its noise depends on."""

    request: SamplingRequest
    seed: int
    key: str


class PlayedFile(NamedTuple):
    """A job, and the sound that came of it."""

    job: PieceJob
    file: str


def play_jobs(
    generator: Generator, jobs: Sequence[PieceJob], folder: Path, *, batch: int, audio_format: str
) -> Iterator[PlayedFile]:
    """Play jobs and write each as sound and JSON, as it comes: neighbours of one length, seed and
    sampler together, `batch` at most.
    """
    for (_, sampling, seed), group in groupby(jobs, key=_together):
        for part in batches(list(group), batch):
            requests = [job.request.numbered(job.key) for job in part]
            waves = generator.play(requests, seed=seed, sampling=sampling)
            for job, request, wave in zip(part, requests, waves, strict=True):
                file = write_piece(
                    folder,
                    request,
                    wave,
                    generator,
                    seed=seed,
                    sampling=sampling,
                    audio_format=audio_format,
                )
                yield PlayedFile(job, file)


def _together(job: PieceJob) -> tuple[float, SamplingConfig, int]:
    """Pieces of which these are equal can be played at once."""
    request = job.request
    return request.piece.controls.labels.duration_s, request.sampling, job.seed


def hear(files: Sequence[str]) -> Iterator[FileLabels]:
    """What our annotators hear in pieces, also put into the JSON beside each."""
    for found in annotate_files(files, Recipe()):
        if found.labels is not None:
            add_heard(found.path, found.labels)
        yield found
