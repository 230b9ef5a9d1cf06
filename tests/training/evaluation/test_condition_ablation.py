"""Samples that cannot be used, when conditions of a model are ablated."""

from pathlib import Path

import pytest

from pipelines.storage.tar import TarWriter
from schemas.identity import Split
from tests.pipelines.shards.shard_samples import flac
from tests.training.data.shards import told
from tests.training.runs import corpus, recipe
from training.errors import TrainingError
from training.evaluation.condition_ablation import ablate_conditions
from training.generation.generate import Player
from training.run.loop import train


def with_broken(path: Path, *, whole: int) -> Path:
    """A shard of validation: a sample without sound, one whose JSON is none, and whole ones, the
    first of the song of the soundless one.
    """
    with path.open("wb") as out:
        tar = TarWriter(out)
        tar.add("0-0-2000-orig.json", told(0, split="validation").model_dump_json().encode())
        tar.add("1-0-2000-orig.json", b"{}")
        for number in range(whole):
            sample = told(number, split="validation")
            tar.add(f"{sample.key}.flac", flac(2.0))
            tar.add(f"{sample.key}.json", sample.model_dump_json().encode())
        tar.close()
    return path


def test_a_sample_that_cannot_be_used_is_left_out_and_counted(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "shards")
    train(recipe(shards, sampling__steps=2), str(tmp_path / "run"), lambda _: None)
    player = Player.of(str(tmp_path / "run"))
    folder = tmp_path / "broken"
    folder.mkdir()
    with_broken(folder / "validation-00000.tar", whole=3)
    found = ablate_conditions(player, str(folder), split=Split.VALIDATION, rounds=1)
    assert {(one.songs, one.unusable) for one in found} == {(3, 2)}
    whole = tmp_path / "whole"
    whole.mkdir()
    with_broken(whole / "validation-00000.tar", whole=2)
    with pytest.raises(
        TrainingError,
        match=(
            r"2 songs.*cannot be used: 2, "
            r"the first .*validation-00000.tar at byte 0: has no .flac"
        ),
    ):
        ablate_conditions(player, str(whole), rounds=1)
