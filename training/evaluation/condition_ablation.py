"""Condition ablation: a model's loss with the right condition, against that with a wrong one.

Same sound, same noise, same time: only one condition differs. A model that does not listen to a
condition has the same loss either way.

Shapes: B clips, R rounds.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import torch
from scipy.stats import t as student

from pipelines.errors import DeadInput
from schemas.identity import Split, keyed_rng
from schemas.record import Record
from training.conditions import Condition
from training.conditions.tokens import Tokens
from training.data.examples import (
    NoiseDraw,
    ReadingRules,
    TrainingExample,
    example_of,
    guarded,
    members_of,
    parsed,
    sampled_noise,
)
from training.data.index import CorpusIndex, index_corpus, read_ranges
from training.data.loading import Samples, TrainingBatch
from training.data.order import SampleOrder
from training.data.prompts import FULL_CONDITIONING
from training.data.silence import silent_latent
from training.diffusion.model import Conditions
from training.errors import TrainingError
from training.evaluation.condition_changes import ANOTHER, wrong_conditions
from training.generation.generate import Generator

_LEVEL: Final = 0.95
_LEAST: Final = 3  # songs, for an interval to mean something


class ConditionAblation(Record):
    """What a condition is worth to a model, over songs. Losses are means over songs; the interval
    is that of the mean difference.
    """

    condition: Condition
    how: str = ANOTHER  # what is wrong about it
    songs: int
    right: float  # loss with the right condition
    wrong: float  # with the wrong one
    difference: float  # wrong less right
    low: float  # 95 % interval of the difference, by Student's t over songs
    high: float
    # samples that were left out, because they cannot be read or break the contract
    unusable: int = 0

    @property
    def is_used(self) -> bool:
        """Whether the model uses it: the interval leaves zero out."""
        return self.low > 0


class _Songs(NamedTuple):
    examples: list[TrainingExample]  # of each song one
    unusable: list[str]  # where each such sample stands, and why


def ablate_conditions(
    generator: Generator,
    target: str,
    *,
    split: Split = Split.VALIDATION,
    rounds: int = 8,
    seed: int = 0,
) -> tuple[ConditionAblation, ...]:
    """What each condition is worth, over the songs of a split: of each one clip, its first sample
    that can be used.

    A song's losses are means over `rounds` draws of noise, one from each of as many bands of times.
    Raises `TrainingError` for fewer than three songs.
    """
    reading, corpus = _reading(generator, seed), index_corpus(target, split)
    songs, unusable = _songs(corpus, reading)
    if len(songs) < _LEAST:
        why = (
            f"; samples that cannot be used: {len(unusable)}, the first {unusable[0]}"
            if unusable
            else ""
        )
        raise TrainingError(
            f"{target} has {len(songs)} songs in split {split}; "
            f"an interval needs {_LEAST} at least{why}"
        )
    collated = Samples([corpus], SampleOrder([len(corpus)]), reading).collated
    partners = _partners(len(songs), seed)
    ways = wrong_conditions(generator.recipe.model)
    losses = np.zeros((1 + len(ways), rounds, len(songs)))
    size = generator.recipe.data.micro_batch
    for first in range(0, len(songs), size):
        indices = range(first, min(len(songs), first + size))
        batch = collated([songs[index] for index in indices])
        pairs = [(songs[index], songs[partners[index]]) for index in indices]
        wrong = [collated([way.apply(*pair) for pair in pairs]) for way in ways]
        prompts = dict.fromkeys(one.prompts for one in (batch, *wrong))  # few differ
        texts = {one: generator.encoder.encode(one) for one in prompts}
        conditions = [_conditions(generator, one, texts[one.prompts]) for one in (batch, *wrong)]
        with torch.no_grad():
            latents_BCTF, frames_B = (
                generator.codec.encode(batch.sounds.to(generator.device)),
                batch.frames_B.to(generator.device),
            )
        for number in range(rounds):
            noise, times_B = _noise_and_times(generator, reading, batch.keys, number, rounds)
            for way, one in enumerate(conditions):
                with torch.no_grad():
                    loss_B = generator.model(latents_BCTF, one, noise, times_B, frames_B)
                losses[way, number, indices] = loss_B.float().cpu().numpy()
    right, *others = losses.mean(1)
    return tuple(
        ablation_of(way.condition, right, other).replaced(how=way.how, unusable=len(unusable))
        for way, other in zip(ways, others, strict=True)
    )


def ablation_of(
    condition: Condition, right_B: np.ndarray, wrong_B: np.ndarray
) -> ConditionAblation:
    """What a condition is worth, from each song's loss with the right one and with a wrong one."""
    gain_B = wrong_B - right_B
    half = float(
        student.ppf((1 + _LEVEL) / 2, len(gain_B) - 1) * gain_B.std(ddof=1) / np.sqrt(len(gain_B))
    )
    middle = float(gain_B.mean())
    return ConditionAblation(
        condition=condition,
        songs=len(gain_B),
        right=float(right_B.mean()),
        wrong=float(wrong_B.mean()),
        difference=middle,
        low=middle - half,
        high=middle + half,
    )


def _reading(generator: Generator, seed: int) -> ReadingRules:
    facts, rules = generator.codec.facts, generator.recipe
    frames = facts.frames(round(rules.data.seconds * facts.rate_hz))
    return ReadingRules(
        facts,
        False,
        frames,
        FULL_CONDITIONING,
        generator.survey.mean_sentences,
        seed,
        rules.model.rows,
        rules.objective,
        limits=rules.data.limits,
        silence_CTF=silent_latent(generator.codec, frames, generator.device)
        if rules.data.silence
        else None,
    )


def _songs(corpus: CorpusIndex, reading: ReadingRules) -> _Songs:
    """The first sample of each song that can be used."""
    found: dict[str, TrainingExample] = {}
    unusable: list[str] = []
    for number in range(len(corpus)):
        source = corpus.range_of(number)
        content = read_ranges([source])[0]
        try:
            song_id = guarded(content, lambda good: parsed(members_of(good)).song_id)
            if song_id not in found:
                # of noise that is drawn anew in each round
                draw = NoiseDraw(keyed_rng(reading.seed, "", "heeding"), 0.0)
                found[song_id] = guarded(
                    content,
                    partial(
                        example_of, reading=reading, epoch=0, draw=draw, full_conditioning=True
                    ),
                )
        except DeadInput as error:
            unusable.append(f"{source.url} at byte {source.start}: {error.message}")
    return _Songs(list(found.values()), unusable)


def _partners(count: int, seed: int) -> list[int]:
    """For each song another one: the next in a drawn circle."""
    circle = keyed_rng(seed, "", "partners").permutation(count)
    return [
        int(other)
        for _, other in sorted(zip(circle.tolist(), np.roll(circle, -1).tolist(), strict=True))
    ]


def _conditions(generator: Generator, batch: TrainingBatch, text: Tokens) -> Conditions:
    conditions = batch.conditioning(text, with_seconds=generator.recipe.model.seconds)
    return conditions.to(generator.device)


def _noise_and_times(
    generator: Generator, reading: ReadingRules, keys: Sequence[str], number: int, rounds: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise and times of a round: of each clip its own, whatever its conditions."""
    rng = [keyed_rng(reading.seed, key, f"heeding round {number}") for key in keys]
    draws = ((number + one.random()) / rounds for one in rng)
    times_B = torch.tensor([reading.objective.time_of(draw, reading.frames) for draw in draws])
    return torch.stack([sampled_noise(reading, one) for one in rng]).to(
        generator.device
    ), times_B.to(generator.device)
