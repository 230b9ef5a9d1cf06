"""With --json the result is one JSON object on standard output, and progress goes to standard
error.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import flows.build.local
import flows.models.training_run
from flows.build.run_stage import StepProgress
from flows.launchers import TrainJob
from schemas.dataset import Dataset
from tests.support.micro_training import SETTINGS, as_options
from tests.support.running import obbligato
from tests.support.small_build import Built
from tests.support.small_dataset import small_dataset
from tests.training.runs import corpus

PLAIN = [
    f"--set=annotate.{name}=tests.support.plug_ins.plain_annotator"
    for name in ("beats", "chords", "key")
]
STEPS = ("run.steps=2", "run.device=cpu", "sampling.steps=2")


def answer(*arguments: object) -> tuple[dict[str, Any], str]:
    """What a command answers, and what it tells beside it."""
    output = obbligato(*arguments, "--json")
    assert output.returncode == 0, output.stderr
    assert output.stdout.count("\n") == 1
    return json.loads(output.stdout), output.stderr


@pytest.fixture
def strange(built: Built, tmp_path: Path) -> Path:
    """A build that nobody here has named anything for."""
    out = tmp_path / "strange"
    shutil.copytree(built.out, out)
    return out


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def trained(
    shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], str]:
    """A model's folder, and what its training answered and told."""
    out = tmp_path_factory.mktemp("trained") / "run"
    return (out, *answer("train", shards, "--out", out, *as_options([*SETTINGS, *STEPS])))


def test_a_training_answers_where_it_ended(trained: tuple[Path, dict[str, Any], str]) -> None:
    out, found, messages = trained
    assert found == {
        "out": str(out),
        "status": 0,
        "step": 2,
        "checkpoint": f"{out}/checkpoints/step-00000002",
    }
    assert "step 2" in messages


def test_a_training_by_a_launcher_answers_the_same(
    trained: tuple[Path, dict[str, Any], str], shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found, _ = trained
    launched: list[tuple[str, ...]] = []

    def launch(job: TrainJob, *_: object) -> int:
        launched.append(job.arguments)
        return 0

    monkeypatch.setattr(flows.models.training_run, "run_launched", launch)
    again, _ = answer("train", shards, "--out", out, "--launcher", "local", "--set", "run.steps=2")
    assert again == found
    assert launched == [("train", str(shards), "--out", str(out), "--set", "run.steps=2")]
    monkeypatch.setattr(flows.models.training_run, "run_launched", lambda *_: 75)
    output = obbligato("train", shards, "--out", out, "--launcher", "local", "--json")
    assert (output.returncode, json.loads(output.stdout)) == (
        75,
        {"out": str(out), "status": 75, "step": None, "checkpoint": ""},
    )


def test_an_ablation_answers_each_condition(
    trained: tuple[Path, dict[str, Any], str], shards: Path
) -> None:
    found, _ = answer("ablate", trained[0], shards, "--rounds", 1)
    conditions = found["conditions"]
    assert [(one["condition"], one["how"]) for one in conditions] == [
        ("text", "another song's"),
        ("beats", "another song's"),
        ("chords", "another song's"),
        ("chords", "reversed"),
        ("chords", "a place later"),
        ("beats", "half a beat late"),
        ("key", "another song's"),
        ("key", "a tritone off"),
        ("dynamics", "another song's"),
        ("melody", "another song's"),
        ("onsets", "another song's"),
    ]
    assert all(one["is_used"] == (one["low"] > 0) for one in conditions)
    assert {one["songs"] for one in conditions} == {4}


def test_a_sample_answers_its_files_and_what_was_asked(
    trained: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    arguments = [
        "sample",
        "An air",
        "--model",
        trained[0],
        "--out",
        tmp_path,
        "--bpm",
        90,
        "--key",
        "A minor",
        "--count",
        2,
    ]
    found, messages = answer(*arguments)
    assert [Path(file).exists() for file in found["files"]] == [True, True]
    assert found["labels"]["tempo"]["bpm"] == 90
    assert "tempo 90 BPM (flag)" in found["controls"]
    assert all(line in messages for line in (*found["files"], "key A minor (flag)"))


def test_an_evaluation_answers_its_report(
    trained: tuple[Path, dict[str, Any], str], shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    found, _ = answer(
        "evaluate", trained[0], shards, "--out", out, "--prompts", 1, "--no-swaps", *PLAIN
    )
    assert found == json.loads((out / "report.json").read_text())
    assert found["counts"]["given"] == 1


def test_predictors_answer_their_losses(shards: Path, tmp_path: Path) -> None:
    small = as_options(["run.steps=2", "data.batch=4", "model.width=16"])
    found, messages = answer(
        "train", "predictors", shards, "--out", tmp_path / "predictors", *small
    )
    assert found["checkpoint"].endswith("checkpoints/step-00000002")
    assert set(found["losses"]) == {"meter", "tempo", "mode", "chords"}
    assert found["losses"]["chords"] == {"before": None, "after": None}  # JSON has no NaN
    assert found["losses"]["tempo"]["after"] <= found["losses"]["tempo"]["before"]
    assert messages


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("build", ["build", "SOURCE", "--out", "BUILD"]),
        ("retry", ["dead", "retry", "BUILD"]),
        ("verify_build", ["verify", "BUILD"]),
        ("encode", ["encode", "BUILD", "--codec", "mel"]),
        ("label", ["label", "BUILD", "--vocabulary", "SOURCE"]),
    ],
)
def test_what_makes_or_changes_a_build_answers_what_it_holds(
    strange: Path, built: Built, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    def done(*arguments: Any, **_: Any) -> Dataset:
        [watch] = [one for one in arguments if callable(one)]
        watch(StepProgress("annotate", 3, 3))
        return dataset

    dataset = small_dataset(name="three")
    monkeypatch.setattr(flows.build.local, name, done)
    stands_for = {"BUILD": str(strange), "SOURCE": built.sources[0]}
    obbligato("trust", strange, f"source={built.sources[0]}")
    assert answer(*(stands_for.get(word, word) for word in words)) == (
        dataset.as_json(),
        "annotate: 3\n",
    )


def test_trust_answers_what_is_wanted_and_what_is_not_any_more(strange: Path, built: Built) -> None:
    source = f"source={built.sources[0]}"
    assert source in answer("trust", strange)[0]["wanted"]
    assert source in answer("trust", strange, source)[0]["trusted"]
    found, _ = answer("trust", strange)
    assert (source in found["wanted"], source in found["trusted"]) == (False, True)


def test_small_answers(built: Built) -> None:
    assert answer("unlock", built.out) == ({"build": str(built.out), "removed": None}, "")
    found, _ = answer("trust", built.out)
    assert found == {"build": str(built.out), "wanted": [], "trusted": found["trusted"]}
    ready, _ = answer("recipe", "--list")
    assert list(ready) == ["attm", "fmacaps", "musicbench", "noise2music", "stable"]
    assert answer("recipe", "--set", "ingest.clip_s=7")[0]["ingest"]["clip_s"] == 7
