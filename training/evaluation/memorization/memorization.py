"""Has a model learned songs by heart? What it plays beside all that it learned from.

Held-out music, put through the same codec and compared with the same training samples, says how
near music comes that nobody learned from.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np

from pipelines.audio.decode import Wave, decoded, downmixed, read_window, resampled
from pipelines.errors import DeadInput
from pipelines.shards.find import find_shards
from training.evaluation.ceilings import CodecOn, round_trip
from training.evaluation.memorization.memorized import (
    CopyShares,
    MemorizationReport,
    MemorizedClip,
    PlayedClip,
    nearest_training,
)
from training.evaluation.memorization.nearest import (
    NearestSample,
    SoundingClip,
    TrainingPatches,
    audio_bytes,
    nearest_samples,
)
from training.evaluation.originals import originals
from training.metrics.copies import yardstick
from training.metrics.summary import Kind, figure

HELD_OUT: Final = 200  # pieces: so that 1 % of them are two
_LONGEST_S: Final = 600.0
_COPIES: Final = "clips that are proved copies of what was learned from"
_NEARER: Final = "clips nearer to it than 99 % of held-out music"
_SPLITS: Final = ("test", "validation")


class FoundMemorized(NamedTuple):
    """A report; and of each clip in it the file of its sound, and that of its nearest sample."""

    report: MemorizationReport
    sounds: tuple[tuple[str, str], ...]  # empty: there is none


class SearchedCorpora(NamedTuple):
    """Where what was learned from is, where held-out music is, and what else was learned from."""

    learned: tuple[str, ...]
    held_out: str
    not_searched: tuple[str, ...] = ()


def memorization(
    played: Sequence[PlayedClip],
    corpora: SearchedCorpora,
    folder: Path,
    *,
    codec: CodecOn | None = None,
    seed: int = 0,
    watch: Callable[[int], None] = lambda _: None,
) -> FoundMemorized:
    """Compare clips, and held-out originals of the same length, with all training samples.

    `codec` is what the clips were decoded by: held-out music goes through it as well. The sounds of
    the nearest samples are written into `folder`; `watch` is called with the number of training
    samples looked at. Raises `TrainingError` where no sample of train can be used.
    """
    clips = [_sound_of_file(one.path) for one in played]
    length_s = median(len(one.wave) / one.rate_hz for one in clips)
    held_out = [
        _through(codec, one) if codec else one for one in _held_out(corpora.held_out, length_s)
    ]
    training = TrainingPatches(corpora.learned, watch)
    found = nearest_samples([*clips, *held_out], training)
    reported = [_clip(one, near) for one, near in zip(played, found, strict=False)]
    beside = [_clip(PlayedClip("", "", ""), near) for near in found[len(played) :]]
    limit = yardstick([one.nearness for one in beside]) if beside else None

    def shares(name: str, of: Sequence[MemorizedClip]) -> CopyShares | None:
        return _shares(name, of, limit, seed) if of else None

    by_training = [one for one in reported if one.by_training_prompt]
    report = MemorizationReport(
        corpora=corpora.learned,
        not_searched=corpora.not_searched,
        samples=len(training.samples),
        unusable=training.unusable,
        roundtrip=codec is not None,
        yardstick=limit,
        held_out=shares("held-out music", beside),
        played=shares("held-out prompts", [one for one in reported if not one.by_training_prompt]),
        by_training_prompts=shares("training prompts", by_training),
        all_played=_shares("all played", reported, limit, seed),
        clips=tuple(reported),
    )
    sounds = (
        (one.path, _written(near, folder / f"nearest-{number:04d}.flac"))
        for number, (one, near) in enumerate(zip(played, found, strict=False))
    )
    return FoundMemorized(report, tuple(sounds))


def _sound_of_file(path: str) -> SoundingClip:
    try:
        window = read_window(path, 0.0, _LONGEST_S)
    except DeadInput:  # it is silent, then: annotators have said what is wrong with it
        return SoundingClip(np.zeros(1, np.float32), 1)
    return SoundingClip(window.wave, window.rate_hz)


def _held_out(target: str, length_s: float) -> list[SoundingClip]:
    """The first originals of test and validation, no longer than what they are compared beside."""
    shards = [shard for shard in find_shards(target).shards if shard.split in _SPLITS]
    found: list[SoundingClip] = []
    for raw, _ in originals(shards):
        try:
            wave, rate_hz = decoded(raw.content(raw.audio))[:2] if raw.audio else (None, 0)
        except DeadInput:
            continue
        if wave is not None:
            found.append(SoundingClip(wave[: round(length_s * rate_hz)], rate_hz))
        if len(found) == HELD_OUT:
            break
    return found


def _through(codec: CodecOn, clip: SoundingClip) -> SoundingClip:
    """A clip as the codec plays it."""
    rate_hz = codec.codec.facts.rate_hz
    wave: Wave = resampled(clip.wave, clip.rate_hz, rate_hz)
    made = round_trip(np.clip(wave, -1.0, 1.0), codec)
    return SoundingClip(downmixed(made)[0] if made.ndim == 2 else made, rate_hz)


def _clip(one: PlayedClip, near: Sequence[NearestSample]) -> MemorizedClip:
    return MemorizedClip(
        name=one.name,
        caption=one.caption,
        by_training_prompt=bool(one.asked_key),
        asked_key=one.asked_key,
        nearest=tuple(
            nearest_training(
                found.sample.key,
                found.sample.song_id,
                found.sample.place.url,
                similarity=found.similarity,
                proof=found.proof,
            )
            for found in near
        ),
    )


def _shares(name: str, of: Sequence[MemorizedClip], limit: float | None, seed: int) -> CopyShares:
    copies = [float(one.is_copy) for one in of]
    nearer = [float(limit is not None and (one.is_copy or one.nearness > limit)) for one in of]
    copied = figure(f"copies, {name}", _COPIES, copies, Kind.SHARE, key=f"copies {name}", seed=seed)
    near = figure(f"nearer, {name}", _NEARER, nearer, Kind.SHARE, key=f"nearer {name}", seed=seed)
    return CopyShares(copies=copied, nearer=None if limit is None else near)


def _written(near: Sequence[NearestSample], path: Path) -> str:
    content = audio_bytes(near[0].sample) if near else b""
    if not isinstance(content, bytes) or not content:
        return ""
    path.write_bytes(content)
    return str(path)
