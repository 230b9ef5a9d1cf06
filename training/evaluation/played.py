"""Clips that a model of ours plays for an evaluation, as files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import soundfile

from pipelines import clips
from training.asking.ask import asked
from training.evaluation.made import Listing, Made, timing_of
from training.evaluation.wanted import Wanted
from training.generating import Player, Score


def played(player: Player, wanted: Sequence[Wanted], folder: Path, *, seed: int, watch: Callable[[int], None]) -> Listing:
    """Play every prompt into a folder; what a prompt leaves open is filled from the model's corpus, and not asked for.

    A prompt with a swapped control begins with the same noise as the prompt that it comes from: what differs is the control alone.
    """
    made: list[Made] = []
    for part in clips.batches(wanted, player.recipe.data.micro_batch):
        labels = [
            asked(one.caption, duration_s=player.recipe.data.seconds, statistics=player.survey.statistics, seed=seed).labels for one in part
        ]
        scores = [Score(one.swap_of or one.name, one.caption, label) for one, label in zip(part, labels, strict=True)]
        for one, label, wave in zip(part, labels, player.play(scores, seed=seed), strict=True):
            path = folder / f"{one.name}.flac"
            soundfile.write(path, wave, player.codec.facts.rate_hz, subtype="PCM_16")
            made.append(Made(one.name, one.caption, one.asked, str(path), timing_of(label), one.swap_of, one.reference))
        watch(len(made))
    return Listing(player.name, tuple(made), ())
