"""`obbligato train --distil`: a student of a run, by the same command as any training."""

import json
import tomllib
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.models.training_run import TrainingRequest, train_recipe
from tests.support.running import obbligato
from tests.training.runs import corpus, recipe
from training.run.loop import train
from training.samplers.config import Sampler, SamplingConfig


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    out = tmp_path_factory.mktemp("teacher") / "run"
    chosen = recipe(
        shards, run__steps=1, data__validation=0, sampling__guidance=2.5, sampling__clamp=True
    )
    train(chosen, str(out), lambda _: None)
    return out


def test_a_student_has_its_teacher_s_recipe_but_for_how_it_plays(teacher: Path) -> None:
    request = TrainingRequest(shards=("shards",), out="out", distil=str(teacher))
    asked = request.recipe
    theirs = train_recipe("", None, [f"run.start_from={teacher}"], ["shards"])
    assert asked.model == theirs.model.replaced(jumps=True)
    assert (asked.optim, asked.prompts, asked.objective) == (
        theirs.optim,
        theirs.prompts,
        theirs.objective,
    )
    assert asked.run.start_from == str(teacher)
    assert asked.sampling == SamplingConfig(sampler=Sampler.JUMP, steps=4, guidance=2.5)
    # a job that is launched is told so in settings
    assert {"model.jumps=true", f"run.start_from={teacher}"} <= set(request.all_settings)
    again = train_recipe("", None, request.all_settings, ["shards"])
    assert again == asked


def test_a_student_is_trained_played_and_described_by_commands(
    tmp_path: Path, shards: Path, teacher: Path
) -> None:
    out = tmp_path / "student"
    knobs = ("--set", "run.steps=2", "--set", "distil.solver_steps=2", "--set", "optim.lr=1e-4")
    made = obbligato("train", shards, "--distil", teacher, "--out", out, *knobs)
    assert made.returncode == 0, made.stderr
    facts = json.loads((out / "model.json").read_text())
    assert facts["teacher"]["name"] == "run"
    assert facts["recipe"]["distil"]["solver_steps"] == 2
    asked = ("sample", "A calm flute", "--model", out, "--steps", "2", "--gamma", "0.5", "--json")
    played = obbligato(*asked, "--out", tmp_path / "played")
    assert played.returncode == 0, played.stderr
    [file] = json.loads(played.stdout)["files"]
    said = json.loads(Path(file).with_suffix(".json").read_text())["sampling"]
    assert (said["sampler"], said["steps"], said["gamma"]) == ("jump", 2, 0.5)
    beyond = obbligato(*asked, "--out", tmp_path / "beyond", "--guidance", "9")
    assert beyond.returncode != 0
    assert "is not one that this student was told of: 1 to 5" in beyond.stderr
    again = obbligato("train", shards, "--distil", out, "--out", tmp_path / "second")
    assert again.returncode != 0
    assert "is a student, which was distilled: it teaches none" in again.stderr


def test_recipes_of_students_are_printed_and_wrong_usage_is_named(
    shards: Path, teacher: Path
) -> None:
    printed = obbligato("train", shards, "--distil", teacher, "--print")
    assert tomllib.loads(printed.stdout)["distil"]["guidance"] == [1.0, 5.0]
    both = obbligato("train", shards, "--distil", teacher, "--from", teacher, "--out", "x")
    assert "--from and --distil: a student begins as its teacher" in both.stderr
    with pytest.raises(UsageError, match="beside --from or --distil"):
        train_recipe("tiny", None, [f"run.start_from={teacher}", "model.jumps=true"], ["shards"])
    gamma = obbligato("sample", "A flute", "--model", teacher, "--gamma", "0.5")
    assert "gamma=0.5 is for sampling.sampler=jump" in gamma.stderr
