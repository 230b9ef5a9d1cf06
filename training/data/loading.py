"""Batches by their number, read ahead by worker processes.

Shapes: B samples of a micro-batch, C latent channels, T latent frames, F latent bands, S audio
samples, L codebooks.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Event
from types import FrameType
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipelines.errors import DeadInput, MachineFault
from schemas.identity import keyed_rng
from training.conditions.beats import BeatBatch, batched_beats
from training.conditions.chords import ChordBatch, batched_chords
from training.conditions.rows import FrameGrid, batched_rows
from training.conditions.tokens import Tokens
from training.data.buckets import bucket_of
from training.data.examples import (
    NoiseDraw,
    ReadingRules,
    TrainingExample,
    Unusable,
    example_of,
    guarded,
    sampled_noise,
)
from training.data.index import CorpusIndex, Range, read_ranges
from training.data.order import PositionOrder, SamplePosition
from training.data.song_place import SongPlace
from training.diffusion.model import Conditions


class TrainingBatch(NamedTuple):
    """A micro-batch. A sample that could not be used is a row of silence that does not count."""

    keys: tuple[str, ...]
    prompts: tuple[str, ...]  # empty where the text is unknown or was dropped
    beats: BeatBatch
    chords: ChordBatch
    rows_BTR: torch.Tensor | None  # frame rows; none where the model takes none
    seconds_B2: torch.Tensor  # where in its song each clip begins, and how long the song is
    # latents (B, C, T, F), codes (B, L, T), waves (B, S) or (B, 2, S) to encode, or pairs of rates
    # (B, 2, S)
    sounds: torch.Tensor
    # latent frames that each has of its own; what follows is padding, none where the sample does
    # not count
    frames_B: torch.Tensor
    noise_BCTF: torch.Tensor
    times_B: torch.Tensor  # how far each is on the way to noise, from 0 to 1
    unusable: tuple[Unusable, ...]
    # of each from 0 to 1, as many as are asked for (ReadingRules.draws)
    draws_BD: torch.Tensor

    def conditioning(self, text: Tokens, *, with_seconds: bool) -> Conditions:
        """Its conditions, the prompts as `text`; `with_seconds`, where clips begin in songs."""
        seconds_B2 = self.seconds_B2 if with_seconds else None
        return Conditions(text, self.beats, self.chords, seconds_B2, self.rows_BTR)


class Samples(Dataset[TrainingExample | Unusable]):
    """Positions of the order to examples; those of one call are read at once."""

    def __init__(
        self,
        corpora: Sequence[CorpusIndex],
        order: PositionOrder,
        reading: ReadingRules,
        *,
        full_conditioning: bool = False,
    ) -> None:
        self._corpora, self._order, self._reading, self._full_conditioning = (
            tuple(corpora),
            order,
            reading,
            full_conditioning,
        )

    def __getitem__(self, position: int) -> TrainingExample | Unusable:
        """One position."""
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[TrainingExample | Unusable]:
        """Several, as torch's loader asks for them."""
        samples = [self._order.at(position) for position in positions]
        ranges = [self._corpora[one.corpus].range_of(one.number) for one in samples]
        return [
            self._example(*one)
            for one in zip(positions, samples, ranges, read_ranges(ranges), strict=True)
        ]

    def collated(self, examples: Sequence[TrainingExample | Unusable]) -> TrainingBatch:
        """Examples as a batch, sounds padded to the length that is learned, or that of a bucket."""
        rows = [self._usable(one) for one in examples]
        own = [self._own_frames(row.sound) for row in rows]
        frames = bucket_of(max(own), self._reading.buckets, self._reading.frames)
        grid = FrameGrid(frames, self._reading.facts.frames_per_s)
        keys = tuple(row.key for row in rows)
        prompts = tuple(row.prompt for row in rows)
        limits = self._reading.limits
        beats = batched_beats(
            [row.controls and row.controls.known_beats for row in rows], limits.beats
        )
        chords = batched_chords(
            [row.controls and row.controls.known_chords for row in rows], limits.chords
        )
        seconds_B2 = torch.tensor([row.place for row in rows])
        sounds = torch.stack([self._padded(row.sound, frames) for row in rows])
        learned = own
        if self._reading.silence_CTF is not None:  # all of it, unless it does not count
            learned = [frames if one else 0 for one in own]
        frames_B = torch.tensor(learned, dtype=torch.int64)
        noise_BCTF = torch.stack([row.noise_CTF[:, :frames] for row in rows])
        times_B = torch.tensor(
            [self._time(row.level, one) for row, one in zip(rows, own, strict=True)]
        )
        unusable = tuple(one for one in examples if isinstance(one, Unusable))
        return TrainingBatch(
            keys=keys,
            prompts=prompts,
            beats=beats,
            chords=chords,
            rows_BTR=batched_rows([row.controls for row in rows], grid, self._reading.rows),
            seconds_B2=seconds_B2,
            sounds=sounds,
            frames_B=frames_B,
            noise_BCTF=noise_BCTF,
            times_B=times_B,
            unusable=unusable,
            draws_BD=torch.tensor([row.draws for row in rows]),
        )

    def _time(self, level: float, own: int) -> float:
        """When a sample is learned: by its own bucket, whatever stands beside it."""
        frames = bucket_of(own, self._reading.buckets, self._reading.frames)
        return self._reading.objective.time_of(level, frames)

    def _usable(self, one: TrainingExample | Unusable) -> TrainingExample:
        return _silent(one, self._reading) if isinstance(one, Unusable) else one

    def _padded(self, sound: torch.Tensor, frames: int) -> torch.Tensor:
        """A latent (C, T, F) or a wave (S,) or (2, S) of so many frames, silent where it is over:
        as zeros, which nothing is learned of, or as the codec has it; codes (L, T), zeros there.
        """
        facts, silence_CTF = self._reading.facts, self._reading.silence_CTF
        if self._reading.codes is not None:
            codes_LT = torch.zeros(facts.channels, frames, dtype=torch.int64)
            if sound.numel():
                codes_LT[:, : sound.shape[1]] = sound
            return codes_LT
        if self._reading.reads_latents:
            latent_CTF = torch.zeros(facts.channels, frames, facts.bands)
            if silence_CTF is not None:
                latent_CTF = silence_CTF.clone()
            if sound.numel():
                latent_CTF[:, : sound.shape[1]] = sound
            return latent_CTF
        samples = frames * facts.samples_per_frame
        has_two = facts.wave_channels == 2 or self._reading.lower_hz
        wave = torch.zeros(2, samples) if has_two else torch.zeros(samples)
        wave[..., : sound.shape[-1]] = sound
        return wave

    def _own_frames(self, sound: torch.Tensor) -> int:
        """Latent frames that a sound has of its own; none where it is empty."""
        if not sound.numel():
            return 0
        return (
            sound.shape[1]
            if self._reading.reads_latents or self._reading.codes is not None
            else self._reading.facts.frames(sound.shape[-1])
        )

    def _example(
        self, position: int, sample: SamplePosition, source: Range, content: bytes | Exception
    ) -> TrainingExample | Unusable:
        draw = self._noise_draw(position)
        make = partial(
            example_of,
            reading=self._reading,
            epoch=sample.epoch,
            draw=draw,
            full_conditioning=self._full_conditioning,
        )
        try:
            return guarded(content, make)
        except DeadInput as error:
            return Unusable(
                f"{source.url} at byte {source.start}",
                error.message,
                sampled_noise(self._reading, draw.rng),
            )

    def _noise_draw(self, position: int) -> NoiseDraw:
        """Noise by the position; its level by a draw for the whole batch and the place in it, so
        that a batch meets all levels alike: each is as likely as any, their mean varies less.
        """
        seed, batch = self._reading.seed, self._reading.batch
        purpose = "noise of validation" if self._full_conditioning else "noise"
        offset = keyed_rng(seed, str(position // batch), f"level of {purpose}").random()
        level = (offset + position % batch / batch) % 1
        return NoiseDraw(keyed_rng(seed, str(position), purpose), level)


def _silent(one: Unusable, reading: ReadingRules) -> TrainingExample:
    """A row that does not count, in the place of a sample that cannot be used."""
    return TrainingExample(
        key=one.key,
        sound=torch.zeros(0),
        prompt="",
        controls=None,
        place=SongPlace(0.0, 0.0),
        noise_CTF=one.noise_CTF,
        level=0.0,
        draws=(0.0,) * reading.draws,
    )


class BatchShare(NamedTuple):
    """Which part of each step's batch a process takes: its rank of how many, and micro-batches."""

    batch: int
    micro_batch: int
    rank: int = 0
    ranks: int = 1

    @property
    def parts(self) -> int:
        """Micro-batches of a step in each process."""
        return self.batch // (self.micro_batch * self.ranks)

    def positions(self, step: int, part: int) -> range:
        """Positions of one micro-batch of a step.

        >>> BatchShare(batch=8, micro_batch=2, rank=1, ranks=2).positions(step=3, part=1)
        range(30, 32)
        """
        first = step * self.batch + (part * self.ranks + self.rank) * self.micro_batch
        return range(first, first + self.micro_batch)


class _Positions(Sampler[list[int]]):
    def __init__(self, share: BatchShare, first_step: int, last_step: int) -> None:
        self._share, self._steps = share, range(first_step, last_step)

    def __iter__(self) -> Iterator[list[int]]:
        return (
            list(self._share.positions(step, part))
            for step in self._steps
            for part in range(self._share.parts)
        )

    def __len__(self) -> int:
        return len(self._steps) * self._share.parts


@contextmanager
def batches(
    samples: Samples,
    share: BatchShare,
    *,
    first_step: int,
    last_step: int,
    workers: int,
    pinned: bool = False,
) -> Iterator[Iterator[TrainingBatch]]:
    """Micro-batches of the steps from `first_step` to before `last_step`, in order, whatever the
    number of workers (0: this process).
    """
    with quiet_worker() as begin_worker:
        loader: DataLoader[TrainingExample | Unusable] = DataLoader(
            samples,
            batch_sampler=_Positions(share, first_step, last_step),
            num_workers=workers,
            collate_fn=samples.collated,
            worker_init_fn=begin_worker,
            prefetch_factor=4 if workers else None,
            pin_memory=pinned,
        )
        yield _in_order(loader)


@contextmanager
def quiet_worker() -> Iterator[Callable[[int], None]]:
    """How a loader's worker begins: it ends with the block, and not at a stop signal that is meant
    for its parent.
    """
    closing = torch.multiprocessing.get_context().Event()
    try:
        yield partial(_ignore_stop_signals, closing)
    finally:
        closing.set()


def _in_order(loader: Iterable[TrainingBatch]) -> Iterator[TrainingBatch]:
    """Batches as they come.

    Raises `MachineFault` in one line: of a worker's, torch makes a page.
    """
    try:
        yield from loader
    except MachineFault as error:
        raise MachineFault(
            str(error).strip().rpartition(f"{MachineFault.__name__}: ")[2]
        ) from error


def _ignore_stop_signals(closing: Event, _: int) -> None:
    """A worker ends when its parent says so, or is gone; schedulers send their stop signals to it
    too, while the parent needs it still.
    """

    def end(_: int, __: FrameType | None) -> None:
        if closing.is_set():
            os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
