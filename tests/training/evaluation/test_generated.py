"""What a model is told for prompts and for their swaps, and which weights are said to have
played.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pipelines.audio.decode import Wave
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import our_sample, ours, write_shard
from training.errors import TrainingError
from training.evaluation.clips import ScoredListing
from training.evaluation.generated import generate_clips
from training.evaluation.targets import TargetPrompt, target_prompts, with_swaps
from training.generation.generate import GenerationRequest, Generator
from training.metrics.controls import stated_controls
from training.prompt_controls.corpus import NEUTRAL


class Band:
    """In place of a player: it keeps the scores that it is given, and plays nothing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "ema.safetensors").write_bytes(b"weights")
        (folder / "state.json").write_text('{"step": 1}')
        self.name = str(folder)
        self.recipe = SimpleNamespace(data=SimpleNamespace(micro_batch=2))
        self.seconds = 8.0
        self.survey = SimpleNamespace(statistics=NEUTRAL)
        self.rate_hz = 8000
        self.refined_by = ()
        self.scores: list[GenerationRequest] = []

    def play(self, requests: Sequence[GenerationRequest], *, seed: int) -> list[Wave]:
        self.scores += requests
        return [np.zeros(800, np.float32) for _ in requests]

    def play_refined(self, requests: Sequence[GenerationRequest], *, seed: int) -> list[Wave]:
        """Nothing plays beside it."""
        return self.play(requests, seed=seed)


def listing(band: Band, prompts: list[TargetPrompt], folder: Path) -> ScoredListing:
    folder.mkdir()
    return generate_clips(cast(Generator, band), prompts, folder, seed=0, watch=lambda _: None)


def prompt(name: str, caption: str) -> TargetPrompt:
    return TargetPrompt(name, caption, stated_controls(caption), 8.0)


def test_a_swapped_prompt_is_told_what_its_original_is_but_for_the_control(tmp_path: Path) -> None:
    band = Band(tmp_path / "model")
    made = listing(band, with_swaps([prompt("one", "A rock song in 4/4.")]), tmp_path / "out").made
    assert [(one.name, one.swap_of, one.caption) for one in made] == [
        ("one", "", "A rock song in 4/4."),
        ("one-meter", "one", "A rock song in 3/4."),
    ]
    four, three = (one.controls for one in band.scores)
    assert (four.labels.meter.beats_per_bar, three.labels.meter.beats_per_bar) == (4, 3)
    assert (three.labels.key, three.labels.tempo) == (four.labels.key, four.labels.tempo)
    rounds = [[segment.label for segment in one.labels.chords.segments] for one in (four, three)]
    assert all(one == other for one, other in zip(*rounds, strict=False))
    assert len({one.key for one in band.scores}) == 1  # the same noise


def test_a_prompt_that_cannot_be_told_is_skipped_with_its_swaps_and_the_rest_is_played(
    tmp_path: Path,
) -> None:
    band = Band(tmp_path / "model")
    crowded = prompt(
        "crowded", f"A song at 40 BPM. The chords are {', '.join(['Am', 'F', 'C'] * 4)}."
    )
    found = listing(band, with_swaps([crowded, prompt("one", "Rock.")]), tmp_path / "out")
    assert [one.name for one in found.made] == ["one"]
    assert {one.name for one in found.skipped} >= {"crowded", "crowded-tempo"}
    assert "a beat holds one chord at most" in found.skipped[0].reason
    with pytest.raises(
        TrainingError, match=r"can play none of the 1 prompts.*a beat holds one chord"
    ):
        listing(Band(tmp_path / "other"), [crowded], tmp_path / "out2")


def test_what_played_is_named_with_the_sum_of_its_weights(tmp_path: Path) -> None:
    found = listing(Band(tmp_path / "model"), [prompt("one", "Rock.")], tmp_path / "out").checkpoint
    assert found is not None
    assert found.name == str(tmp_path / "model")
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()


def clip(number: int, start_ms: int) -> Sample:
    """A clip of a song of two."""
    song_id = f"{number:016x}"
    key = f"{song_id}-{start_ms}-2000"
    return our_sample(key=f"{key}-orig", clip_key=key, song_id=song_id, split="test")


def test_each_song_is_asked_for_once_before_any_is_twice(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "test-00000.tar",
        ours(clip(1, 0), clip(1, 2000), clip(2, 0), clip(2, 2000), clip(3, 0)),
    )
    names = [
        one.name.rpartition("-orig")[0].lstrip("0") for one in target_prompts(str(tmp_path), 4)
    ]
    assert names == ["1-0-2000", "2-0-2000", "3-0-2000", "1-2000-2000"]
