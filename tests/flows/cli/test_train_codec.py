"""`obbligato train codec`: by several processes of this machine, which is for waves alone."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import flows.launchers.command
import training.excerpts.run
from flows.cli import app
from flows.errors import UsageError
from flows.launchers import Launching
from flows.launchers.command import train_job
from pipelines.codecs import open_codec
from tests.training.runs import corpus
from training.excerpts.run import TrainedFolder

SMALL = (
    "net.strides=[4, 5]",
    "net.encoder_widths=[4, 8, 8]",
    "net.decoder_widths=[4, 8, 8]",
    "net.latent_channels=6",
    "data.seconds=0.128",
    "data.batch=4",
    "data.micro_batch=2",
    "data.workers=0",
    "data.validation=0",
    "run.steps=2",
    "run.log_every=1",
    "loss.windows=[512, 128]",
    "loss.judged_from=4",
    "critic.windows=[256]",
    "critic.width=4",
)


def train_codec(*arguments: object) -> str:
    command = ["train", "codec", *map(str, arguments)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_job_is_the_same_command_with_paths_that_hold_anywhere(tmp_path: Path) -> None:
    words = ("train", "codec", "--kind", "wave")
    job = train_job([str(tmp_path)], "/c", "tiny", ["run.steps=2"], Launching(processes=2), words)
    options = ("--out", "/c", "--preset", "tiny", "--set", "run.steps=2")
    assert job.arguments == (*words, str(tmp_path), *options)
    assert job.processes == 2


def test_a_vae_is_trained_by_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--processes are of --kind wave"):
        train_codec(tmp_path, "--out", tmp_path / "out", "--processes", 2)


@pytest.mark.parametrize(("status", "stopped"), [(1, None), (75, True), (0, False)])
def test_only_a_run_that_can_go_on_says_that_it_stopped(
    status: int, stopped: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(out: Path, *, stopped: bool) -> TrainedFolder:
        return TrainedFolder(step=1, stopped=stopped, checkpoint="", folder=str(out))

    monkeypatch.setattr(flows.launchers.command, "run_launched", lambda *_: status)
    monkeypatch.setattr(training.excerpts.run, "trained_folder", folder)
    words = ["train", "vocoder", str(tmp_path), "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, [*words, "--processes", "2", "--json"])
    assert ran.exit_code == status
    said = json.loads(ran.stdout)["stopped"] if ran.stdout else None
    assert said is stopped


@pytest.mark.slow  # half a minute: two processes start
def test_two_processes_train_one_codec(tmp_path: Path) -> None:
    shards, out = corpus(tmp_path / "shards", songs=6, latents=False), tmp_path / "codec"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    answer = json.loads(
        train_codec(shards, "--kind", "wave", "--out", out, "--processes", 2, "--json", *settings)
    )
    assert (answer["step"], answer["stopped"], answer["folder"]) == (2, False, str(out))
    assert open_codec("wave", str(out)).facts.channels == 6
