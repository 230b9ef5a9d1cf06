"""A run, killed, stopped, shared by processes: its weights are those of a run that was left
alone.
"""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import safetensors.torch
import soundfile
import soxr
import torch

from pipelines.codecs import open_codec
from pipelines.errors import PipelineError
from pipelines.storage.lock import break_lock
from pipelines.storage.store import Store
from tests.pipelines.shards.shard_samples import flac
from tests.training.data.shards import sample_of, write_shard
from tests.training.runs import DIT, NET, corpus, edited, recipe
from training.data.loading import TrainingBatch
from training.errors import BadData, TrainingError
from training.run import checkpoints
from training.run.checkpoints import find_checkpoint
from training.run.corpus_survey import CorpusSurvey
from training.run.loop import train
from training.run.prefetch import ReadyBatch
from training.run.recipe import TrainRecipe
from training.run.trainer import Trainer

_SCRIPT = (
    "import sys; from training.run.loop import train; "
    "from training.run.recipe import TrainRecipe; "
    "made = train(TrainRecipe.model_validate_json(open(sys.argv[1]).read()), sys.argv[2], "
    "lambda line: print(line, flush=True)); sys.exit(75 if made.stopped else 0)"
)
# Sends itself a signal as it tells of a step: told by another process, it may be done before.
_SIGNALLED = """
import os, sys
from training.run.loop import train
from training.run.prefetch import ReadyBatch
from training.run.recipe import TrainRecipe
recipe, out, step, number = sys.argv[1:]
def tell(line):
    print(line, flush=True)
    if line.startswith(f"step {step} "):
        os.kill(os.getpid(), int(number))
made = train(TrainRecipe.model_validate_json(open(recipe).read()), out, tell)
sys.exit(75 if made.stopped else 0)
"""
_ALONE = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "GLOO_SOCKET_IFNAME": "lo",
    "PYTHONPATH": str(Path(__file__).parents[3]),
}


def silent(_: str) -> None:
    """A run whose lines nobody reads."""


def weights(folder: Path, step: int, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / checkpoints.folder_of(step) / name)


def assert_equal_to_the_bit(
    one: Path,
    other: Path,
    step: int,
    files: Sequence[str] = ("model.safetensors", "ema.safetensors"),
) -> None:
    for name in files:
        mine, theirs = weights(one, step, name), weights(other, step, name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items()), name
    moments = [
        torch.load(folder / checkpoints.folder_of(step) / "optimizer.pt") for folder in (one, other)
    ]
    assert all(
        torch.equal(value, moments[1][name][key])
        for name, kept in moments[0].items()
        for key, value in kept.items()
    )


def started(chosen: TrainRecipe, out: Path, *launcher: str) -> subprocess.Popen[str]:
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.parent / f"{out.name}.recipe.json"
    file.write_text(chosen.model_dump_json())
    script = out.parent / "script.py"
    script.write_text(_SCRIPT)
    command = [sys.executable, *launcher, str(script), str(file), str(out)]
    return subprocess.Popen(
        command, env=_ALONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def signalled(
    chosen: TrainRecipe, out: Path, step: int, number: signal.Signals
) -> subprocess.CompletedProcess[str]:
    """A run that is sent a signal as soon as it has told of a step."""
    file = out.parent / f"{out.name}.recipe.json"
    file.write_text(chosen.model_dump_json())
    command = [sys.executable, "-c", _SIGNALLED, str(file), str(out), str(step), str(int(number))]
    return subprocess.run(
        command, env=_ALONE, capture_output=True, text=True, timeout=300, check=False
    )


def losses(output: str) -> list[float]:
    return [float(found) for found in re.findall(r"step \d+ of \d+ · loss ([\d.]+)", output)]


def test_a_run_killed_and_stopped_in_mid_epoch_is_equal_to_the_bit_to_one_left_alone(
    tmp_path: Path,
) -> None:
    shards = corpus(tmp_path / "shards")
    chosen = recipe(shards, run__steps=24, run__checkpoint_every=5, data__workers=1)
    lines: list[str] = []
    assert train(chosen, str(tmp_path / "straight"), lines.append).step == 24
    assert len(losses("\n".join(lines))) == 24
    hurt = tmp_path / "hurt"
    killed = signalled(chosen, hurt, 11, signal.SIGKILL)  # an epoch is three steps
    assert killed.returncode == -signal.SIGKILL
    assert sorted(os.listdir(hurt / "checkpoints")) == ["step-00000005", "step-00000010"]
    stopped = signalled(chosen, hurt, 17, signal.SIGTERM)
    assert stopped.returncode == 75, stopped.stderr
    assert "going on from step 10" in stopped.stdout
    last = checkpoints.whole_ones(Store(str(hurt)))[-1].json("state.json")["step"]
    assert last in {17, 18}  # a signal may come while the next step is begun
    assert last % 3 or last % 5
    assert train(chosen, str(hurt), silent).step == 24
    assert_equal_to_the_bit(tmp_path / "straight", hurt, 24)


def test_a_transformer_that_goes_on_is_equal_to_the_bit_to_one_left_alone(tmp_path: Path) -> None:
    chosen = recipe(corpus(tmp_path / "shards"), DIT)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    train(chosen, str(straight), silent)
    half = checkpoints.folder_of(3)
    shutil.copytree(straight / half, resumed / half)
    lines: list[str] = []
    train(chosen, str(resumed), lines.append)
    assert any(line.startswith("going on from step 3") for line in lines)
    assert_equal_to_the_bit(straight, resumed, 6)


def test_a_stop_signal_loses_no_step(tmp_path: Path) -> None:
    chosen = recipe(corpus(tmp_path / "shards"), run__steps=10_000, run__checkpoint_every=10_000)
    running = started(chosen, tmp_path / "run")
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("step 3 "):
            break
    running.send_signal(signal.SIGTERM)
    rest = running.communicate(timeout=60)[0]
    assert running.returncode == 75
    done = 3 + len(losses(rest))
    [last] = checkpoints.whole_ones(Store(str(tmp_path / "run")))
    assert last.json("state.json")["step"] == done
    assert last.json("state.json")["samples"] == 4 * done


class Alone(NamedTuple):
    """A run of one process."""

    folder: Path
    recipe: TrainRecipe
    output: str


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(NET, id="munet"),
        pytest.param(DIT, id="dit", marks=pytest.mark.slow),  # half a minute, as the other
    ],
)
def one_process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    folder = tmp_path_factory.mktemp("alone")
    chosen = recipe(
        corpus(folder / "shards"),
        request.param,
        run__validate_every=3,
        run__played=1,
        run__play_every=6,
    )
    lines: list[str] = []
    train(chosen, str(folder / "run"), lines.append)
    return Alone(folder / "run", chosen, "\n".join(lines))


@pytest.mark.parametrize("parallel", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_does(
    one_process: Alone, tmp_path: Path, parallel: str
) -> None:
    chosen, alone = (
        one_process.recipe.replaced(run=one_process.recipe.run.replaced(parallel=parallel)),
        one_process.output,
    )
    both = started(
        chosen,
        tmp_path / "both",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ).communicate(timeout=300)[0]
    assert len(losses(alone)) == 6
    assert losses(both) == pytest.approx(losses(alone), abs=2e-4)  # sums in another order
    one, two = weights(one_process.folder, 6), weights(tmp_path / "both", 6)
    assert all(torch.allclose(value, two[key], atol=2e-3) for key, value in one.items())
    assert both.count("validation loss") == alone.count("validation loss") == 2
    longer = chosen.replaced(run=chosen.run.replaced(steps=8))
    lines: list[str] = []
    train(longer, str(tmp_path / "both"), lines.append)  # one process reads what two have shared
    assert any(line.startswith("going on from step 6") for line in lines)


def test_a_loss_that_is_no_number_names_the_sample_and_moves_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = corpus(tmp_path / "shards")
    losses_of = Trainer.losses

    def lost(trainer: Trainer, batch: ReadyBatch) -> torch.Tensor:
        hurt = torch.tensor(
            [float("nan") if key == sample_of(0).key else 1.0 for key in batch.keys]
        )
        return losses_of(trainer, batch) * hurt

    monkeypatch.setattr(Trainer, "losses", lost)
    with pytest.raises(BadData, match=f"the loss of {sample_of(0).key} is not a number"):
        train(recipe(shards), str(tmp_path / "run"), silent)
    assert all(
        torch.isfinite(value).all()
        for one in checkpoints.whole_ones(Store(str(tmp_path / "run")))
        for value in one.weights("model.safetensors").values()
    )


def test_too_many_unusable_samples_end_a_run_and_a_few_are_counted(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "shards")
    shard = shards / "train-00001.tar"
    shard.write_bytes(shard.read_bytes().replace(b'{"schema_version"', b'{"schema_wersion"'))
    with pytest.raises(BadData, match="of 12 samples looked at are unusable"):
        train(recipe(shards), str(tmp_path / "run"), silent)
    shard.write_bytes(
        shard.read_bytes()
        .replace(b'{"schema_wersion"', b'{"schema_version"')
        .replace(b"\x93NUMPY", b"\x94NUMPY")
    )
    # a survey reads no latents
    with pytest.raises(BadData, match=r"of \d+ samples were unusable \(limit 10"):
        train(recipe(shards, data__unusable=0.1), str(tmp_path / "run"), silent)
    made = train(recipe(shards, data__unusable=1.0), str(tmp_path / "other"), silent)
    state = json.loads((tmp_path / "other" / checkpoints.folder_of(6) / "state.json").read_text())
    assert (made.step, state["unusable"]) == (6, 12)  # six of twelve, twice


def test_audio_is_encoded_as_it_is_read_where_shards_have_no_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[torch.Tensor] = []
    latents_of = Trainer.latents

    def kept(trainer: Trainer, batch: TrainingBatch) -> torch.Tensor:
        latents_BCTF = latents_of(trainer, batch)
        learned.append(latents_BCTF)
        return latents_BCTF

    monkeypatch.setattr(Trainer, "latents", kept)
    lines: list[str] = []
    train(
        recipe(corpus(tmp_path / "shards", latents=False), run__steps=1),
        str(tmp_path / "run"),
        lines.append,
    )
    assert "audio, encoded as it is read" in lines[0]
    codec = open_codec("mel")
    wave, rate_hz = soundfile.read(io.BytesIO(flac(2.0)), dtype="float32")  # of every sample
    wave = soxr.resample(wave, rate_hz, codec.facts.rate_hz)
    expected = codec.encode(torch.from_numpy(wave)[None])
    assert expected.shape == (1, 64, 16, 8)
    assert [len(latents) for latents in learned] == [2, 2, 2, 2]  # a step, then its validation
    for latents in learned:
        assert torch.allclose(latents, expected.expand(2, -1, -1, -1), atol=1e-2)


def test_what_weights_depend_on_may_not_change_and_the_rest_is_told(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "shards")
    train(recipe(shards, run__steps=2), str(tmp_path / "run"), silent)
    with pytest.raises(
        TrainingError, match=r"another recipe: model\.control_width = 32 \(was 16\)"
    ):
        train(recipe(shards, run__steps=4, model__control_width=32), str(tmp_path / "run"), silent)
    with pytest.raises(TrainingError, match=r"model\.kind = dit \(was munet\)"):
        train(recipe(shards, DIT, run__steps=4), str(tmp_path / "run"), silent)
    lines: list[str] = []
    assert train(recipe(shards, run__steps=4), str(tmp_path / "run"), lines.append).step == 4
    assert "changed since the last checkpoint: run.steps = 4 (was 2)" in lines
    lines.clear()
    train(recipe(shards, run__steps=4), str(tmp_path / "run"), lines.append)
    assert lines[-1] == "all 4 steps are done"


def test_a_run_in_an_order_of_before_goes_on_and_is_told(tmp_path: Path) -> None:
    shards, run = corpus(tmp_path / "shards"), tmp_path / "run"
    train(recipe(shards, run__steps=2), str(run), silent)
    file = run / checkpoints.folder_of(2) / "state.json"
    state = json.loads(file.read_text())
    assert state.pop("order") == 2
    del state["files"]["state.json"]  # its seal
    file.write_text(json.dumps(state))
    lines: list[str] = []
    train(recipe(shards, run__steps=3), str(run), lines.append)
    told = "the order of samples has changed since the last checkpoint (version 1, now 2)"
    assert sum(line.startswith(told) for line in lines) == 1
    lines.clear()
    train(recipe(shards, run__steps=4), str(run), lines.append)
    assert not any(line.startswith(told) for line in lines)


def test_old_checkpoints_go_and_a_torn_one_is_none(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "shards")
    chosen = recipe(shards, run__steps=5, run__checkpoint_every=1, run__keep=2)
    train(chosen, str(tmp_path / "run"), silent)
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(os.listdir(folder)) == ["step-00000004", "step-00000005"]
    (folder / "step-00000005" / "state.json").unlink()
    lines: list[str] = []
    train(chosen, str(tmp_path / "run"), lines.append)
    assert any(line.startswith("going on from step 4") for line in lines)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"data__shards": ()}, "no shards to learn from"),
        (
            {"model__latent_channels": 32},
            (
                r"mel makes latents of 64 channels, "
                r"but the model takes 32: set model\.latent_channels=64"
            ),
        ),
        (
            {"model__text_width": 256},
            r"states are 384 wide, but the model takes 256: set model\.text_width=384",
        ),
        ({"data__shards": ("/nowhere",)}, "/nowhere does not exist"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_learned(
    tmp_path: Path, knobs: dict[str, object], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(recipe(corpus(tmp_path / "shards"), **knobs), str(tmp_path / "run"), silent)


def test_a_transformer_for_other_bands_is_refused(tmp_path: Path) -> None:
    chosen = recipe(corpus(tmp_path / "shards"), DIT.replaced(latent_bands=16))
    with pytest.raises(TrainingError, match=r"8 bands, but the model takes 16: set model\.latent"):
        train(chosen, str(tmp_path / "run"), silent)


def test_shards_that_are_not_there_leave_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="/nowhere does not exist"):
        train(recipe(tmp_path, data__shards=("/nowhere",)), str(tmp_path / "run"), silent)
    assert not (tmp_path / "run").exists()


def test_a_corpus_that_has_changed_is_told_learned_from_and_kept_in_the_lineage(
    tmp_path: Path,
) -> None:
    shards, run = corpus(tmp_path / "shards"), str(tmp_path / "run")
    train(recipe(shards, run__steps=2), run, silent)
    write_shard(shards / "train-00002.tar", range(20, 24))
    lines: list[str] = []
    train(recipe(shards, run__steps=4), run, lines.append)
    assert f"so far {shards} (12 samples); from here on {shards} (16 samples)" in " ".join(lines)
    lines.clear()
    made = train(recipe(shards, run__steps=6), run, lines.append)
    assert not any("corpora have changed" in line for line in lines)
    kept = find_checkpoint(made.checkpoint).record("corpus.json", CorpusSurvey)
    assert [facts.samples for facts in kept.datasets] == [12, 16]


def test_other_latents_than_those_that_were_learned_are_refused(tmp_path: Path) -> None:
    shards, run = corpus(tmp_path / "shards"), tmp_path / "run"
    train(recipe(shards, run__steps=2), str(run), silent)
    edited(run / checkpoints.folder_of(2), "corpus.json", '"version": "1"', '"version": "0"')
    with pytest.raises(
        TrainingError, match="has learned latents of mel 0, but the codec here is mel 1"
    ):
        train(recipe(shards, run__steps=4), str(run), silent)


def test_latents_and_runs_of_before_codecs_told_levels_are_gone_on_with(tmp_path: Path) -> None:
    shards, run = corpus(tmp_path / "shards"), tmp_path / "run"
    before = {"name": "small", "latents": open_codec("mel").facts.identity}
    assert "levels" not in before["latents"]
    (shards / "dataset.json").write_text(json.dumps(before))
    train(recipe(shards, run__steps=2), str(run), silent)
    learned = find_checkpoint(str(run)).record("corpus.json", CorpusSurvey)
    assert learned.latents  # nothing is encoded anew
    told = json.loads((run / checkpoints.folder_of(2) / "corpus.json").read_text())["codec"]
    levels = f'"unit_db": {told["levels"]["unit_db"]}'
    assert levels in (run / checkpoints.folder_of(2) / "corpus.json").read_text()
    edited(run / checkpoints.folder_of(2), "corpus.json", levels, '"unit_db": 7')
    assert train(recipe(shards, run__steps=3), str(run), silent).step == 3


def test_latents_of_another_codec_are_not_read_and_that_is_told(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "shards", latents=False)
    other = open_codec("mel").facts.replaced(name="vae", version="7")
    (shards / "dataset.json").write_text(json.dumps({"name": "small", "latents": other.identity}))
    lines: list[str] = []
    train(recipe(shards, run__steps=1), str(tmp_path / "run"), lines.append)
    assert (
        f"{shards} holds latents of vae 7, none of mel 1: its audio is encoded as it is read; set "
        "codec.name and codec.source to read them, or encode it anew"
    ) in lines
    assert any("audio, encoded as it is read" in line for line in lines)


def test_validation_of_those_that_have_it_is_followed_and_its_lack_is_told(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "shards")
    lines: list[str] = []
    write_shard(tmp_path / "curated" / "train-00000.tar", range(30, 34))
    chosen = recipe(
        shards,
        run__steps=2,
        run__validate_every=2,
        data__shards=(str(shards), str(tmp_path / "curated")),
    )
    train(chosen, str(tmp_path / "run"), lines.append)
    assert f"{tmp_path}/curated has no validation split: no loss is followed on it" in lines
    assert any("validation loss" in line for line in lines)


def test_what_a_kill_left_of_checkpoints_goes_with_the_next_one(tmp_path: Path) -> None:
    chosen, folder = (
        recipe(corpus(tmp_path / "shards"), run__steps=4, run__checkpoint_every=2, run__keep=1),
        tmp_path / "run" / "checkpoints",
    )
    # killed at a stop, and while the same one was written that comes again
    for torn in ("step-00000001", "step-00000002"):
        (folder / torn).mkdir(parents=True)
        (folder / torn / ".part-optimizer.pt-0").write_bytes(b"moments")
    train(chosen, str(tmp_path / "run"), silent)
    assert os.listdir(folder) == ["step-00000004"]


def test_a_run_that_has_lost_its_turn_writes_nothing_more(tmp_path: Path) -> None:
    run = tmp_path / "run"

    def taken_over(line: str) -> None:
        if line.startswith("step 1 "):
            break_lock(Store(str(run)))

    with pytest.raises(PipelineError, match="taken over by another run"):
        train(
            recipe(corpus(tmp_path / "shards"), run__steps=2, run__checkpoint_every=2),
            str(run),
            taken_over,
        )
    assert checkpoints.whole_ones(Store(str(run))) == []


def test_a_url_is_no_place_for_a_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="memory://run: a run is written to a local folder"):
        train(recipe(tmp_path), "memory://run", silent)


def test_what_the_first_process_finds_or_fails_of_is_told_to_all(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from training.run.parallel import joined\n"
        "with joined('cpu') as world:\n"
        "    both = world.gathered([world.rank, world.broadcast(lambda: 'found')])\n"
        "    try:\n"
        "        world.broadcast(lambda: 1 / 0)\n"
        "    except Exception as error:\n"
        # at one go: both write to one pipe
        "        print(f'{both} {type(error).__name__} {error}\\n', end='', flush=True)\n"
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    told = subprocess.run(
        command, env=_ALONE, capture_output=True, text=True, check=False, timeout=120
    ).stdout.splitlines()
    both = "[0, 'found', 1, 'found']"
    assert sorted(told) == [
        f"{both} TrainingError the first process: division by zero",
        f"{both} ZeroDivisionError division by zero",
    ]


def test_memory_that_does_not_do_is_said_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "losses", lambda *_: torch.empty(1 << 60))
    with pytest.raises(
        TrainingError, match=r"2 samples do not fit in memory at once: lower data\.micro_batch"
    ):
        train(recipe(corpus(tmp_path / "shards")), str(tmp_path / "run"), silent)
