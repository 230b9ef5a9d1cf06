"""Training flows under a real Prefect server and worker: cancelled, stopped, gone on with; and from
music to a measured model.
"""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import flows.deployments.pipeline
from flows.build.recipe_files import recipe_toml
from flows.deployments.pipeline import with_latents
from flows.deployments.train import train_model
from flows.errors import UsageError
from flows.launchers import Launching
from flows.models.evaluation import evaluation_choice
from schemas.recipe import EncodeRecipe, Recipe
from tests.support.building import ROOT
from tests.support.micro_training import SETTINGS, as_options, corpus
from tests.support.servers.prefect_server import Server, marked, until_alone, worker
from tests.support.tone_corpus import PLAIN, Corpus
from tests.support.waiting import until
from training.run.presets import ready_recipe

TRAINING = (*SETTINGS, "run.steps=4", "sampling.steps=2")
LABELS = [
    f"annotate.{what}=tests.support.plug_ins.plain_annotator" for what in ("beats", "chords", "key")
]
EVALUATION = ["prompts=2", "swaps=false", *LABELS]


def parameters(shards: Path, out: Path, steps: int, checkpoint_every: int = 10) -> dict[str, Any]:
    settings = [*SETTINGS, f"run.steps={steps}", f"run.checkpoint_every={checkpoint_every}"]
    return {
        "shards": [str(shards)],
        "out": str(out),
        "settings": settings,
        "launching": {"launcher": "local"},
    }


def last_step(out: Path) -> int:
    """Step of the last whole checkpoint."""
    return max(
        (json.loads(file.read_text())["step"] for file in out.glob("checkpoints/*/state.json")),
        default=0,
    )


def training(mark: str) -> list[psutil.Process]:
    """Processes of a worker that train."""
    return [
        process
        for process in marked(mark)
        if process.cmdline()[1:5] == ["-P", "-m", "flows.cli", "train"]
    ]


def log_lines(server: Server, run: str) -> list[str]:
    """A run's log."""
    found = server.ask(
        "logs/filter",
        {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200},
    )
    return [line["message"] for line in found]


@pytest.mark.slow
def test_a_run_is_cancelled_without_an_orphan_goes_on_is_requeued_and_ends_with_a_model_card(
    server: Server, tmp_path: Path
) -> None:
    shards, out = corpus(tmp_path / "corpus"), tmp_path / "model"
    with worker(server, OMP_NUM_THREADS="1") as (started, mark):
        first = server.run(
            "train/train", **parameters(shards, out, 1_000_000, checkpoint_every=1_000_000)
        )
        until(lambda: list(out.glob("tensorboard/*")), "first step")
        server.ask(
            f"flow_runs/{first}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        )
        assert server.ended(first) == "Cancelled"
        until_alone(started, mark)
        stopped_at = last_step(out)
        assert stopped_at > 0  # by the checkpoint that it was stopped with: no other was due
        assert not (out / "run.lock").exists()

        second = server.run("train/train", **parameters(shards, out, stopped_at + 100))
        until(lambda: last_step(out) > stopped_at, "another checkpoint")
        training(mark)[0].send_signal(signal.SIGTERM)  # as a machine does that is taken away
        assert server.ended(second) == "Completed", server.message(second)
    lines = log_lines(server, second)
    assert f"going on from step {stopped_at} ({out}/checkpoints/step-{stopped_at:08d})" in lines
    assert "stopped from outside with more to do, in turn 1 of at most 11" in lines
    assert sum("going on from step" in line for line in lines) == 2
    assert_describes(out, shards, stopped_at + 100)
    shown = server.artifacts(second)
    assert shown["model-model"] == (out / "README.md").read_text()
    assert str(out) in shown["model-folder-model"]


def assert_describes(out: Path, shards: Path, steps: int) -> None:
    """The model card tells what the model is and where it came from."""
    digest = hashlib.sha256((shards / "dataset.json").read_bytes()).hexdigest()
    facts = json.loads((out / "model.json").read_text())
    [learned] = facts["corpora"]
    assert (facts["step"], facts["samples"], facts["checkpoint"]) == (
        steps,
        2 * steps,
        f"checkpoints/step-{steps:08d}",
    )
    output = {
        "name": "Airs",
        "obbligato": "0.0.9",
        "sources": {"CC-BY-4.0": 1},
        "tools": {"madmom": "CC-BY-NC-SA-4.0"},
    }
    assert learned["facts"] == {"target": str(shards), "samples": 4, "sha256": digest, **output}
    assert learned["stands"]
    assert facts["recipe"]["run"]["steps"] == steps
    assert 0 < facts["figures"]["train_loss"] < 10
    card = (out / "README.md").read_text()
    assert f"dataset.json sha256 `{digest}`\n" in card
    assert "- music of Airs, CC-BY-4.0: 1 clips\n" in card
    assert "- text encoder, minilm: Apache-2.0\n" in card
    assert "- codec, mel 1: CC0-1.0" in card


@pytest.mark.slow
def test_what_cannot_be_trained_fails_before_anything_starts(
    server: Server, tmp_path: Path
) -> None:
    wrong = parameters(tmp_path / "corpus", tmp_path / "model", 10)
    with worker(server):
        run = server.run("train/train", **{**wrong, "settings": ["run.stepz=8"]})
        assert server.ended(run) == "Failed"
    assert "run.stepz is not a knob; did you mean run.steps?" in server.message(run)
    assert not (tmp_path / "model").exists()


@pytest.fixture
def music(tmp_path: Path) -> Corpus:
    made = Corpus(tmp_path, songs=3)
    made.add(3, split="test")
    made.add(4, split="test")
    made.write()
    return made


def check_lineage(out: Path) -> None:
    """The report names the model's checkpoint, the model card the dataset that is there, by its
    content.
    """
    facts = json.loads((out / "model" / "model.json").read_text())
    [learned] = facts["corpora"]
    assert (
        learned["facts"]["sha256"]
        == hashlib.sha256((out / "corpus" / "dataset.json").read_bytes()).hexdigest()
    )
    assert (learned["facts"]["name"], learned["stands"], learned["version"]) == ("small", True, 1)
    assert (
        json.loads((out / "corpus" / "dataset.json").read_text())["latents"]["name"]
        == facts["codec"]["name"]
        == "mel"
    )
    report = json.loads((out / "report" / "report.json").read_text())
    assert report["counts"]["scored"] == 2
    found = facts["evaluation"]
    assert (found["figures"], found["checkpoint"]) == (report["figures"], report["checkpoint"])
    assert (
        found["report_sha256"]
        == hashlib.sha256((out / "report" / "report.json").read_bytes()).hexdigest()
    )
    played = out / "model" / facts["checkpoint"] / "ema.safetensors"
    assert found["checkpoint"]["sha256"] == hashlib.sha256(played.read_bytes()).hexdigest()
    assert "## Does it play what is asked" in (out / "model" / "README.md").read_text()
    assert (out / "report" / "index.html").exists()


@pytest.mark.slow
def test_music_becomes_a_model_that_was_measured(server: Server, music: Corpus) -> None:
    given = {
        "sources": [str(music.folder / "songs.csv")],
        "out": str(music.out),
        "recipe": PLAIN.model_dump(mode="json"),
        "settings": list(TRAINING),
        "evaluation": evaluation_choice(EVALUATION).model_dump(mode="json"),
    }
    with worker(server, OMP_NUM_THREADS="1"):
        run = server.run("pipeline/pipeline", **given)
        assert server.ended(run, limit_s=240) == "Completed", server.message(run)
    check_lineage(music.out)
    assert f"file://{music.out}/report/index.html" in str(server.artifacts(run)["report-out"])


@pytest.mark.slow
def test_one_command_does_the_same(music: Corpus, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe_toml(PLAIN, comments=False))
    words = [str(music.folder / "songs.csv"), "--out", str(music.out), "--recipe", str(recipe)]
    words += [word.replace("--set", "--train") for word in as_options(TRAINING)]
    words += [f"--evaluate={option}" for option in EVALUATION]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "pipeline", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"report:  {music.out}/report" in done.stdout
    check_lineage(music.out)


@pytest.mark.parametrize(
    ("launching", "output"),
    [
        (Launching(nodes=2), "the local launcher has one machine, not 2"),
        (Launching(launcher="kubernetes"), "needs an image"),
        (
            Launching(launcher="kubernetes", settings={"image": "i:1"}),
            "mounted at /data: name a folder below it",
        ),
        (Launching(launcher="slurm"), "sbatch is not on PATH"),
    ],
)
def test_where_training_cannot_run_nothing_is_built(
    music: Corpus, monkeypatch: pytest.MonkeyPatch, launching: Launching, output: str
) -> None:
    monkeypatch.setenv("PATH", str(music.folder))
    with pytest.raises(UsageError, match=output):
        flows.deployments.pipeline.pipeline.fn(
            [str(music.folder / "songs.csv")], str(music.out), launching=launching
        )
    with pytest.raises(UsageError, match=output):
        train_model.fn([str(music.out)], str(music.out / "model"), launching=launching)
    assert not music.out.exists()


def test_a_model_that_lies_elsewhere_is_not_measured_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(flows.deployments.pipeline, "build_corpus", lambda *_: {"out": "corpus"})
    monkeypatch.setattr(flows.deployments.pipeline, "train_model", lambda *_: {"out": "model"})
    monkeypatch.setattr(
        flows.deployments.pipeline, "get_run_logger", lambda: logging.getLogger("run")
    )
    made = flows.deployments.pipeline.pipeline.fn(["songs.csv"], str(tmp_path))
    assert made == {"corpus": {"out": "corpus"}, "model": {"out": "model"}, "report": ""}
    assert (
        f"measure it where it lies, by obbligato evaluate {tmp_path}/model {tmp_path}/corpus"
        in caplog.text
    )


def test_latents_of_another_codec_than_the_trained_one_are_refused() -> None:
    tiny = ready_recipe("tiny")
    assert with_latents(
        Recipe(encode=EncodeRecipe(codec="mel", batch=2)), tiny
    ).encode == EncodeRecipe(codec="mel", batch=2)
    with pytest.raises(
        UsageError, match="the build encodes with dac , but the training recipe's codec is mel"
    ):
        with_latents(Recipe(encode=EncodeRecipe(codec="dac")), tiny)
