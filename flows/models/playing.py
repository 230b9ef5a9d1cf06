"""Requests of a model played to files, those of one length together, and heard again."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from flows.models.sampling import SamplingRequest
from pipelines.audio.decode import Wave
from pipelines.engine.bucket import batches
from pipelines.reports.annotate_files import FileLabels, annotate_files
from schemas.labels import Labels
from schemas.recipe import Recipe
from training.generation.generate import GenerationRequest, Generator
from training.generation.nearness import label_nearness
from training.generation.steered import SteerAsk, SteeredPiece, Watch, play_steered
from training.generation.write import add_heard, write_piece
from training.samplers.config import SamplingConfig
from training.steering.asked import SteerAim
from training.timed_controls.asked import AskedPiece
from training.timed_controls.steer_options import SteerWay


class PieceJob(NamedTuple):
    """One piece to be played: its request, and the seed and key that its noise depends on."""

    request: SamplingRequest
    seed: int
    key: str


class PlayedFile(NamedTuple):
    """A piece that was asked for, its sound, and lines on how near it is to what was asked."""

    piece: AskedPiece
    file: str
    near: tuple[str, ...] = ()


class PlayedPiece(NamedTuple):
    """A piece's sound, the labels of it, and how it was steered, if it was."""

    wave: Wave
    labels: Labels
    steered: SteeredPiece | None = None

    @property
    def near(self) -> tuple[str, ...]:
        """Lines on how near it is to what was asked."""
        return self.steered.near.lines if self.steered else ()


def play_request(generator: Generator, request: SamplingRequest, seed: int) -> PlayedPiece:
    """One piece, without a file."""
    [played] = _played(
        generator, request.ask, [request.numbered("0")], seed, request.sampling, _unwatched
    )
    return played


def _unwatched(_done: int, _all: int) -> None:
    """Progress that nobody watches."""


def play_jobs(
    generator: Generator,
    jobs: Sequence[PieceJob],
    folder: Path,
    *,
    batch: int,
    audio_format: str,
    watch: Watch = _unwatched,
) -> Iterator[PlayedFile]:
    """Play jobs and write each as sound and JSON, as it comes: neighbours of one length, seed and
    sampler together, and of one request where they are steered, `batch` at most. `watch` is called
    with how much of a batch of steered ones is done, and of how much.
    """
    for (_, sampling, seed, _), group in groupby(jobs, key=_together):
        for part in batches(list(group), batch):
            requests = [job.request.numbered(job.key) for job in part]
            played = _played(generator, part[0].request.ask, requests, seed, sampling, watch)
            for job, request, one in zip(part, requests, played, strict=True):
                file = write_piece(
                    folder,
                    request,
                    one.wave,
                    generator,
                    seed=seed,
                    sampling=sampling,
                    audio_format=audio_format,
                    steered=one.steered,
                )
                more = _labels_near(file, one.steered) if one.steered else ()
                yield PlayedFile(job.request.piece, file, (*one.near, *more))


def _played(
    generator: Generator,
    ask: SteerAsk | None,
    requests: Sequence[GenerationRequest],
    seed: int,
    sampling: SamplingConfig,
    watch: Watch,
) -> list[PlayedPiece]:
    if ask is None:
        waves = generator.play_refined(requests, seed=seed, sampling=sampling)
        return [
            PlayedPiece(wave, one.controls.labels)
            for wave, one in zip(waves, requests, strict=True)
        ]
    pieces = play_steered(generator, requests, ask, seed=seed, sampling=sampling, watch=watch)
    keys = [one.key for one in requests]
    waves = generator.upsampled([one.wave for one in pieces], keys, seed)
    return [
        PlayedPiece(wave, one.controls.labels, one) for wave, one in zip(waves, pieces, strict=True)
    ]


def _together(job: PieceJob) -> tuple[float, SamplingConfig, int, int]:
    """Pieces of which these are equal can be played at once."""
    request = job.request
    alone = 0 if request.ask is None else id(request)
    return request.piece.controls.labels.duration_s, request.sampling, job.seed, alone


def _labels_near(file: str, steered: SteeredPiece) -> tuple[str, ...]:
    """How near chords and beats came to which a loss led, and how a loop's beats go on: annotators
    have to hear the piece for that.
    """
    by_loss = {aim for aim, way in steered.ways.items() if way is not SteerWay.CONDITION}
    chords, beats = SteerAim.CHORDS in by_loss, SteerAim.BEATS in by_loss
    if not (chords or beats or steered.is_loop):
        return ()
    [found] = annotate_files([file], Recipe())
    if found.labels is None:
        return ()
    near = label_nearness(
        steered.controls.labels, found.labels, chords=chords, beats=beats, is_loop=steered.is_loop
    )
    add_heard(file, found.labels, near)
    return near.lines


def hear(files: Sequence[str]) -> Iterator[FileLabels]:
    """What our annotators hear in pieces, also put into the JSON beside each."""
    for found in annotate_files(files, Recipe()):
        if found.labels is not None:
            add_heard(found.path, found.labels)
        yield found
