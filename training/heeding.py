"""Whether a model heeds what it is told: its loss when told right, against its loss when told of another song.

Same sound, same noise, same step: only one condition differs. A model that does not listen to a condition has the same loss either way.

Shapes: B clips, R rounds.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from scipy.stats import t as student

from pipelines.draws import generator
from schemas.identity import Split
from schemas.record import Record
from schemas.sample import Sample
from training.conditions import Condition
from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.data.examples import Reading, drawn_noise, heard_labels, members_of, parsed, sound_of
from training.data.index import find_places, read_ranges
from training.errors import TrainingError
from training.generating import Player
from training.model import Conditions
from training.prompts import TOLD_ALL, visit

_LEVEL: Final = 0.95
_LEAST: Final = 3  # songs, for an interval to mean something


class Heed(Record):
    """What a condition is worth to a model, over songs. Losses are means over songs; the interval is that of the mean difference."""

    condition: Condition
    songs: int
    right: float  # loss when told right
    wrong: float  # when told of another song
    difference: float  # wrong less right
    low: float  # 95 % interval of the difference, by Student's t over songs
    high: float

    @property
    def heard(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0


class _Song(NamedTuple):
    sample: Sample
    sound: torch.Tensor


Tell = Callable[[Conditions, Conditions], Conditions]  # of the right and another song's: what the model is told
_SWAPS: Final[dict[Condition, Tell]] = {
    Condition.TEXT: lambda right, other: right._replace(text=other.text),
    Condition.BEATS: lambda right, other: right._replace(beats=other.beats),
    Condition.CHORDS: lambda right, other: right._replace(chords=other.chords),
}


def heeded(player: Player, target: str, *, split: Split = Split.VALIDATION, rounds: int = 8, seed: int = 0) -> tuple[Heed, ...]:
    """What text, beats and chords are worth, over the songs of a split: of each one clip, its first sample.

    A song's losses are means over `rounds` draws of noise, one from each of as many bands of steps. Raises `TrainingError` for fewer
    than three songs.
    """
    reading = _reading(player, seed)
    songs = _songs(target, split, reading)
    if len(songs) < _LEAST:
        raise TrainingError(f"{target} has {len(songs)} songs in split {split}; an interval needs {_LEAST} at least")
    partners = _partners(len(songs), seed)
    told = {name: np.zeros((rounds, len(songs))) for name in ("right", *_SWAPS)}
    size = player.recipe.data.micro_batch
    for first in range(0, len(songs), size):
        places = range(first, min(len(songs), first + size))
        right = _conditions(player, reading, [songs[place].sample for place in places])
        other = _conditions(player, reading, [songs[partners[place]].sample for place in places])
        latents_BCTF, frames_B = _latents(player, reading, [songs[place].sound for place in places])
        for number in range(rounds):
            noise, steps_B = _drawn(player, reading, [songs[place].sample.key for place in places], number, rounds)
            for name, losses_RB in told.items():
                conditions = right if name == "right" else _SWAPS[Condition(name)](right, other)
                with torch.no_grad():
                    loss_B = player.model(latents_BCTF, conditions.to(player.device), noise, steps_B, frames_B)
                losses_RB[number, first : first + len(places)] = loss_B.float().cpu().numpy()
    means = {name: losses_RB.mean(0) for name, losses_RB in told.items()}
    return tuple(heed_of(condition, means["right"], means[condition]) for condition in _SWAPS)


def heed_of(condition: Condition, right_B: np.ndarray, wrong_B: np.ndarray) -> Heed:
    """What a condition is worth, from each song's loss when told right and when told of another."""
    gain_B = wrong_B - right_B
    half = float(student.ppf((1 + _LEVEL) / 2, len(gain_B) - 1) * gain_B.std(ddof=1) / np.sqrt(len(gain_B)))
    middle = float(gain_B.mean())
    return Heed(
        condition=condition, songs=len(gain_B), right=float(right_B.mean()), wrong=float(wrong_B.mean()),
        difference=middle, low=middle - half, high=middle + half,
    )  # fmt: skip


def _reading(player: Player, seed: int) -> Reading:
    facts, rules = player.codec.facts, player.recipe
    frames = facts.frames(round(rules.data.seconds * facts.rate_hz))
    return Reading(facts, False, frames, rules.objective.steps, TOLD_ALL, player.survey.mean_sentences, seed)


def _songs(target: str, split: Split, reading: Reading) -> list[_Song]:
    """The first sample of each song."""
    corpus = find_places(target, split)
    found: dict[str, _Song] = {}
    for number in range(len(corpus)):
        content = read_ranges([corpus.range_of(number)])[0]
        if isinstance(content, Exception):
            raise TrainingError(f"{target}: sample {number} of split {split} cannot be read: {content}") from content
        members = members_of(content)
        sample = parsed(members)
        if sample.song_id not in found:
            found[sample.song_id] = _Song(sample, sound_of(members, reading))
    return list(found.values())


def _partners(count: int, seed: int) -> list[int]:
    """For each song another one: the next in a drawn circle."""
    circle = generator(seed, "", "partners").permutation(count)
    return [int(other) for _, other in sorted(zip(circle.tolist(), np.roll(circle, -1).tolist(), strict=True))]


def _conditions(player: Player, reading: Reading, samples: Sequence[Sample]) -> Conditions:
    prompts = [
        visit(sample, seed=reading.seed, epoch=0, mean_sentences=reading.mean_sentences, config=reading.prompts).prompt
        for sample in samples
    ]
    labels = [heard_labels(sample, reading) for sample in samples]
    return Conditions(
        text=player.encoder.encode(prompts),
        beats=batched_beats([one.beats for one in labels]),
        chords=batched_chords([one.chords for one in labels]),
        seconds_B2=torch.tensor([[sample.start_s, sample.song_s or sample.end_s] for sample in samples])
        if player.recipe.model.seconds
        else None,
    )


def _latents(player: Player, reading: Reading, sounds: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of waves, and how many frames of each are its own."""
    waves_BS = torch.zeros(len(sounds), reading.frames * reading.facts.samples_per_frame)
    for row_S, wave_S in zip(waves_BS, sounds, strict=True):
        row_S[: len(wave_S)] = wave_S
    frames_B = torch.tensor([reading.facts.frames(len(wave_S)) for wave_S in sounds])
    with torch.no_grad():
        return player.codec.encode(waves_BS.to(player.device)), frames_B.to(player.device)


def _drawn(player: Player, reading: Reading, keys: Sequence[str], number: int, rounds: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise and steps of a round: of each clip its own, whatever it is told."""
    draws = [generator(reading.seed, key, f"heeding round {number}") for key in keys]
    steps_B = torch.tensor([int((number + one.random()) / rounds * reading.noise_steps) for one in draws])
    return torch.stack([drawn_noise(reading, one) for one in draws]).to(player.device), steps_B.to(player.device)
