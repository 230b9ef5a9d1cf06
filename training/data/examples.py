"""One sample of a shard as tensors: the sound that is learned, and its conditions.

Shapes: C latent channels, T latent frames, F latent bands, S audio samples, L codebooks.
"""

import io
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from pydantic import ValidationError

from pipelines.audio.decode import DecodedWindow, Wave, decoded, decoded_at, resampled
from pipelines.codecs import CodecFacts
from pipelines.engine.out_of_memory import is_out_of_memory
from pipelines.errors import DeadInput, MachineFault, PipelineError, is_of_the_machine
from pipelines.guarded.npy import read_codes, read_npy
from pipelines.labels.transform import excerpt
from pipelines.storage.tar import read_members
from schemas.codec import CodeFacts
from schemas.fact import FactKind
from schemas.identity import keyed_rng
from schemas.sample import Sample, audio_name
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, ControlCurves, Span
from training.conditions.limits import TokenLimits
from training.data.level_curves import LevelCurve, drawn_level_curve, louder
from training.data.prompts import FULL_CONDITIONING, PromptConfig, visit
from training.data.song_place import UNKNOWN_PLACE, SongPlace, place_in_song
from training.objectives.diffusion import DiffusionConfig

T = TypeVar("T")
LATENT: Final = "latent.npy"
CODES: Final = "codes.npy"
AUDIO: Final = "flac"
_LONGEST_S: Final = 1e6  # of a song, eleven days: nets compute with these seconds
_SHOWN: Final = 200  # characters of a library's error


class TrainingExample(NamedTuple):
    """One visit to a sample."""

    key: str
    # a latent (C, T, F), codes (L, T), or a wave (S,) or (2, S) at the codec's rate; of a pair of
    # rates both, (2, S)
    sound: torch.Tensor
    prompt: str  # empty: not known, or dropped
    controls: ClipControls | None  # none of a sample that cannot be used
    place: SongPlace  # in its source, or in as much of it as is known; unknown where dropped
    noise_CTF: torch.Tensor
    level: float  # from 0 to 1: which of the learned times, in latents of whatever length
    draws: tuple[float, ...] = ()  # from 0 to 1, for what else is drawn of each


class Unusable(NamedTuple):
    """A sample that cannot be used, and why."""

    key: str
    reason: str
    # drawn all the same: it stands in the batch as a row that does not count
    noise_CTF: torch.Tensor


class DrawnTimes(Protocol):
    """What says how far on the way to noise samples are learned: an objective's section, or where
    a student's jumps begin.
    """

    def time_of(self, draw: float, frames: int) -> float:
        """The time that a uniform draw from [0, 1) stands for, in latents of so many frames."""


class ReadingRules(NamedTuple):
    """How samples are read: what the codec makes, how much is learned, and the rules of visits."""

    facts: CodecFacts
    reads_latents: bool  # else audio
    frames: int  # latent frames that are learned at a time
    prompts: PromptConfig
    mean_sentences: float
    seed: int
    rows: tuple[Condition, ...] = ()  # controls that are laid out in frame rows
    objective: DrawnTimes = DiffusionConfig()  # whose times are drawn
    batch: int = 1  # samples of a step, over which draws of times are spread evenly
    level_curves: float = 0.0  # chance of a visit that is made louder and softer
    without: frozenset[str] = frozenset()  # keys of samples that are left out
    draws: int = 0  # uniform ones of each sample, beside those of its noise
    limits: TokenLimits = TokenLimits()
    drops_seconds: bool = False  # with all else; they are tokens then
    # what is learned behind the end of shorter samples, (C, T, F); none: nothing is
    silence_CTF: torch.Tensor | None = None
    buckets: tuple[int, ...] = ()  # frames that batches of shorter samples are padded to
    # of audio in mono: a rate at which it is read as well, and brought up again; 0: none
    lower_hz: int = 0
    # where codes are read: what they are, and `facts` has a channel for each codebook
    codes: CodeFacts | None = None

    @property
    def learned_s(self) -> float:
        """How much of a sample is learned."""
        return self.frames / self.facts.frames_per_s

    def has_silence(self, window: Span) -> bool:
        """Whether silence is learned behind a window."""
        frames = (window.end_s - window.start_s) * self.facts.frames_per_s
        return self.silence_CTF is not None and frames < self.frames - 0.5


class NoiseDraw(NamedTuple):
    """What noise is drawn by: a generator; and its time, by a uniform draw from 0 to 1."""

    rng: np.random.Generator
    level: float


def members_of(content: bytes) -> dict[str, bytes]:
    """A sample's members by extension."""
    opened = io.BytesIO(content)
    members = {}
    for member in list(read_members(opened)):
        opened.seek(member.offset)
        members[member.name.rpartition("/")[2].partition(".")[2].lower()] = opened.read(member.size)
    return members


def parsed(members: dict[str, bytes]) -> Sample:
    """The record of a sample.

    Raises `DeadInput` where it has none or one that breaks the contract.
    """
    content = member_of(members, "json")
    try:
        sample = Sample.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise DeadInput(
            "bad_json",
            (
                f"its JSON is not a sample's: {'.'.join(map(str, first['loc']))}: "
                f"{first['msg']} ({error.error_count()} errors)"
            ),
        ) from error
    last_s = max(
        sample.end_s,
        sample.duration_s,
        sample.song_s or 0,
        *sample.beats.times_s[-1:],
        *(one.end_s for one in sample.chords.segments),
    )
    if last_s > _LONGEST_S:
        raise DeadInput(
            "bad_json", f"its JSON is not a sample's: it names a time of {last_s:.3g} s"
        )
    return sample


def guarded(content: bytes | Exception, make: Callable[[bytes], T]) -> T:
    """What is made of a sample's bytes.

    One sample ends no run: raises `DeadInput` for whatever is wrong with it.

    Raises `MachineFault` where the machine is at fault, such as a full memory or a failing disk:
    the sample may be as good as any.
    """
    try:
        if isinstance(content, Exception):
            raise content
        return make(content)
    except PipelineError:
        raise
    except Exception as error:  # a stranger's bytes bring libraries to raise anything
        message = " ".join(f"{type(error).__name__}: {error}"[:_SHOWN].split())
        if is_of_the_machine(error) or is_out_of_memory(error):
            raise MachineFault(
                f"reading samples: {message}; make room or repair it, then run again"
            ) from error
        raise DeadInput("unreadable", f"cannot be read: {message}") from error


def sample_in(content: bytes | Exception) -> Sample | None:
    """The record of a sample that was read; none where it could not be, or cannot be used.

    Raises `MachineFault`.
    """
    try:
        return guarded(content, lambda good: parsed(members_of(good)))
    except DeadInput:
        return None


def example_of(
    content: bytes,
    reading: ReadingRules,
    *,
    epoch: int,
    draw: NoiseDraw,
    full_conditioning: bool = False,
) -> TrainingExample:
    """A sample's visit in an epoch, with drawn noise; of one longer than is learned a window.

    With `full_conditioning` no sentence is masked, nothing dropped, no level changed, and the
    window is the first.

    Raises `DeadInput` for a sample that cannot be used.
    """
    members = members_of(content)
    sample = parsed(members)
    if sample.key in reading.without:
        raise DeadInput("left_out", "is left out by data.without")
    rules = FULL_CONDITIONING if full_conditioning else reading.prompts
    first = 0 if full_conditioning else first_frame(sample, reading, epoch)
    window = learned_window(sample, reading, first)
    curve = None if full_conditioning else level_curve(sample, reading, epoch, window)
    visited = visit(
        sample,
        seed=reading.seed,
        epoch=epoch,
        mean_sentences=reading.mean_sentences,
        config=rules,
        window=window,
        unsaid=() if curve is None else {FactKind.DYNAMICS},
    )
    sound = sound_of(members, reading, first)
    controls = window_controls(sample, window)._replace(known=visited.known)
    if curve is not None:
        sound, controls = louder(sound, controls, curve, reading.facts)
    ends = reading.has_silence(window)
    if ends:
        controls = controls.until(window.end_s - window.start_s)
    place = place_in_song(sample, window, ends=ends)
    if visited.seconds_dropped or (reading.drops_seconds and visited.all_dropped):
        place = UNKNOWN_PLACE
    return TrainingExample(
        key=sample.key,
        sound=sound,
        prompt=visited.prompt,
        controls=controls,
        place=place,
        noise_CTF=sampled_noise(reading, draw.rng),
        level=draw.level,
        draws=tuple(draw.rng.random(reading.draws).tolist()),
    )


def first_frame(sample: Sample, reading: ReadingRules, epoch: int) -> int:
    """The latent frame that a visit's window begins with: of a longer sample drawn, else 0."""
    spare = int((sample.duration_s - reading.learned_s) * reading.facts.frames_per_s)
    if spare <= 0:
        return 0
    rng = keyed_rng(reading.seed, sample.key, f"window in epoch {epoch}")
    return int(rng.integers(spare + 1))


def level_curve(
    sample: Sample, reading: ReadingRules, epoch: int, window: Span
) -> LevelCurve | None:
    """The curve that a visit's level follows; none where it stays as it is."""
    if not reading.level_curves:
        return None
    rng = keyed_rng(reading.seed, sample.key, f"level in epoch {epoch}")
    if rng.random() >= reading.level_curves:
        return None
    return drawn_level_curve(rng, window.end_s - window.start_s)


def learned_window(sample: Sample, reading: ReadingRules, first: int) -> Span:
    """As much of a sample as is learned from a latent frame on."""
    start_s = first / reading.facts.frames_per_s
    return Span(start_s, min(sample.duration_s, start_s + reading.learned_s))


def window_controls(sample: Sample, window: Span) -> ClipControls:
    """Labels and curves of a part of a sample, from its start."""
    is_whole = window == (0.0, sample.duration_s)
    curves = sample.controls
    return ClipControls(
        sample.labels if is_whole else excerpt(sample.labels, *window),
        ControlCurves(
            dynamics_db=curves.dynamics_db,
            melody=curves.melody,
            onsets_per_s=(curves.onsets_per_s,) * len(curves.melody),
            rate_hz=curves.frame_rate_hz,
            start_s=-window.start_s,
        ),
    )


def sampled_noise(reading: ReadingRules, rng: np.random.Generator) -> torch.Tensor:
    """Noise shaped as a latent: (C, T, F)."""
    return torch.from_numpy(
        rng.standard_normal(
            (reading.facts.channels, reading.frames, reading.facts.bands), dtype=np.float32
        )
    )


def sound_of(members: dict[str, bytes], reading: ReadingRules, first: int = 0) -> torch.Tensor:
    """A sample's latent (C, T, F), its codes (L, T), or wave (S,) or (2, S) at the codec's rate,
    from its `first` latent frame, no longer than is learned.

    Raises `DeadInput`.
    """
    if reading.codes is not None:
        return _codes(members, reading, reading.codes, first)
    read = _latent if reading.reads_latents else _wave
    return read(members, reading, first)


def _codes(
    members: dict[str, bytes], reading: ReadingRules, facts: CodeFacts, first: int
) -> torch.Tensor:
    content = member_of(members, CODES)
    try:
        codes_LT = read_codes(content, facts.entries)
    except DeadInput as error:
        raise DeadInput(error.code, f"its codes: {error.message} {error.figure}".strip()) from error
    if codes_LT.ndim != 2 or len(codes_LT) != facts.books:
        raise DeadInput(
            "foreign_code",
            f"its codes are shaped {codes_LT.shape}, but those of {facts.codec} are "
            f"({facts.books}, frames)",
        )
    return torch.from_numpy(codes_LT[:, first : first + reading.frames].astype(np.int64))


def _latent(members: dict[str, bytes], reading: ReadingRules, first: int) -> torch.Tensor:
    facts, content = reading.facts, member_of(members, LATENT)
    try:
        latent = read_npy(content)
    except DeadInput as error:
        raise DeadInput(error.code, f"its latent {error.message} {error.figure}".strip()) from error
    if latent.ndim != 3 or (latent.shape[0], latent.shape[2]) != (facts.channels, facts.bands):
        expected = f"({facts.channels}, frames, {facts.bands})"
        raise DeadInput(
            "foreign_latent",
            f"its latent is shaped {latent.shape}, but those of {facts.name} are {expected}",
        )
    return torch.from_numpy(latent[:, first : first + reading.frames].astype(np.float32))


def _wave(members: dict[str, bytes], reading: ReadingRules, first: int) -> torch.Tensor:
    facts = reading.facts
    content = member_of(members, AUDIO)
    if reading.lower_hz:
        wave = _pair(members, decoded(content), reading)
    else:
        wave = decoded_at(content, facts.rate_hz, stereo=facts.is_stereo)
    start, samples = (frames * facts.samples_per_frame for frames in (first, reading.frames))
    return torch.from_numpy(np.ascontiguousarray(wave[start : start + samples].T))


def _pair(members: dict[str, bytes], audio: DecodedWindow, reading: ReadingRules) -> Wave:
    """A wave, and beside it what a lower rate leaves of it: the sample's own copy at that rate
    where it has one, else our resampler's; both of the codec's rate, (S, 2).
    """
    rate_hz, lower_hz = reading.facts.rate_hz, reading.lower_hz
    if audio.rate_hz < rate_hz:
        raise DeadInput(
            "low_rate", f"is of {audio.rate_hz} Hz: there is nothing of {rate_hz} Hz to learn"
        )
    wave = resampled(audio.wave, audio.rate_hz, rate_hz)
    copy = members.get(audio_name("", lower_hz).removeprefix("."))
    low = resampled(wave, rate_hz, lower_hz) if copy is None else decoded_at(copy, lower_hz)
    up = resampled(low, lower_hz, rate_hz)[: len(wave)]
    return np.stack([wave, np.pad(up, (0, len(wave) - len(up)))], axis=1)


def member_of(members: dict[str, bytes], extension: str) -> bytes:
    """A member of a sample. Raises `DeadInput` where it has none."""
    if extension not in members:
        raise DeadInput(
            "missing_member", f"has no .{extension}; its members are {', '.join(sorted(members))}"
        )
    return members[extension]
