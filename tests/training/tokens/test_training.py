"""Masked models of codes in training: they go on to the bit, processes share them, what is learned
is learned, and codes of another codec are refused.
"""

import json
import math
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from tests.pipelines.codecs.coded_waves import ENTRIES, coded_codec
from tests.training.tokens.micro import coded_corpus, micro
from tests.training.two_processes import train_by_two
from training.errors import TrainingError
from training.run import checkpoints
from training.tokens.recipe import TokensRecipe
from training.tokens.training import train_tokens


def silent(_: str) -> None:
    """A training whose lines nobody reads."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> TokensRecipe:
    folder = tmp_path_factory.mktemp("codes")
    return micro(coded_corpus(folder / "shards"), folder / "codec")


def tensors(folder: Path, step: int, name: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / checkpoints.folder_of(step) / name)


def test_a_run_that_goes_on_is_equal_to_the_bit_to_one_left_alone(
    recipe: TokensRecipe, tmp_path: Path
) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    lines: list[str] = []
    train_tokens(recipe, str(straight), lines.append)
    # before anything is learned all entries are alike
    [first] = [line for line in lines if line.startswith("step 1 ")] or [lines[1]]
    assert f"{math.log(ENTRIES):.2f}"[:3] in first
    half = checkpoints.folder_of(3)
    shutil.copytree(straight / half, resumed / half)
    lines.clear()
    made = train_tokens(recipe, str(resumed), lines.append)
    assert (made.step, made.stopped) == (6, False)
    assert any(line.startswith("going on from step 3") for line in lines)
    for name in ("model.safetensors", "ema.safetensors"):
        mine, theirs = tensors(straight, 6, name), tensors(resumed, 6, name)
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items()), name
    early = tensors(straight, 3, "model.safetensors")
    assert not torch.equal(early["heads"], tensors(straight, 6, "model.safetensors")["heads"])


def test_codes_that_are_not_there_or_another_codec_s_are_refused(
    recipe: TokensRecipe, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"has 3 codebooks of 16 entries, but the model takes"):
        train_tokens(
            recipe.replaced(codes=recipe.codes.replaced(books=4)), str(tmp_path / "a"), silent
        )
    train_tokens(recipe.replaced(run=recipe.run.replaced(steps=1)), str(tmp_path / "b"), silent)
    other = recipe.replaced(codes=recipe.codes.replaced(coarse=2))
    with pytest.raises(TrainingError, match=r"codes\.coarse = 2 \(was 1\)"):
        train_tokens(other, str(tmp_path / "b"), silent)
    build = tmp_path / "build"
    shutil.copytree(recipe.data.shards[0], build / "shards")
    (build / "dataset.json").write_text(
        json.dumps({"shards": [{"file": "shards/train-00000.tar", "split": "train"}]})
    )
    of_build = recipe.replaced(data=recipe.data.replaced(shards=(str(build),)))
    with pytest.raises(TrainingError, match=r"holds no codes: `obbligato encode .* --codec wave"):
        train_tokens(of_build, str(tmp_path / "c"), silent)


def test_a_run_does_not_go_on_with_the_codes_of_another_codec(
    recipe: TokensRecipe, tmp_path: Path
) -> None:
    own = tmp_path / "codec"
    shutil.copytree(recipe.codec.source, own)
    mine = recipe.replaced(
        codec=recipe.codec.replaced(source=str(own)), run=recipe.run.replaced(steps=1)
    )
    train_tokens(mine, str(tmp_path / "run"), silent)
    coded_codec(own, seed=1)  # in the place of the one that was there
    further = mine.replaced(run=mine.run.replaced(steps=2))
    with pytest.raises(
        TrainingError,
        match=r"has learned latents of wave \w+, but the codec here is wave \w+: take",
    ):
        train_tokens(further, str(tmp_path / "run"), silent)


def test_knobs_that_do_nothing_to_codes_are_refused_by_name(recipe: TokensRecipe) -> None:
    refused = (
        ("model.seconds and model.seconds_as", "model", "seconds", True),
        ("model.seconds_as out", "model", "seconds_as", "tokens"),
        ("prompts.drop_seconds", "prompts", "drop_seconds", 0.1),
        ("codec.vocoder", "codec", "vocoder", "folder"),
    )
    stored = recipe.model_dump(mode="json")
    for problem, section, knob, value in refused:
        wrong = {**stored, section: {**stored[section], knob: value}}
        with pytest.raises(ValidationError, match=problem):
            TokensRecipe.model_validate(wrong)


@pytest.mark.slow  # half a minute
def test_two_processes_learn_what_one_does(recipe: TokensRecipe, tmp_path: Path) -> None:
    train_tokens(recipe, str(tmp_path / "one"), silent)
    train_by_two(recipe, train_tokens, tmp_path / "two", address=str)
    one, two = (tensors(tmp_path / name, 6, "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(value, two[key], atol=2e-3) for key, value in one.items())
