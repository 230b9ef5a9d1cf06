"""A device that works on while the host goes on: figures a step late, checkpoints behind the step.

There is no such device here, so the host is told that its CPU is one (`World.runs_behind`): all
that is late on a GPU is late then.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.storage.store import Store
from tests.benchmarks.gpu.host_syncs import counted_waits
from tests.training.run.test_loop import (
    _ALONE,
    assert_equal_to_the_bit,
    losses,
    silent,
    weights,
)
from tests.training.runs import corpus, recipe
from training.errors import BadData
from training.run import checkpoints
from training.run.checkpoints import Checkpoint
from training.run.loop import train
from training.run.parallel import World
from training.run.prefetch import ReadyBatch
from training.run.trainer import Trainer

_KILLED = """
import os, sys, time, threading
from training.run.loop import train
from training.run.parallel import World
from training.run.recipe import TrainRecipe
World.runs_behind = property(lambda _: True)
recipe, out, after_s = sys.argv[1:]
def tell(line):
    print(line, flush=True)
    if line.startswith("step 3 "):  # step 1 is kept before step 2 is
        threading.Timer(float(after_s), os.kill, (os.getpid(), 9)).start()
train(TrainRecipe.model_validate_json(open(recipe).read()), out, tell)
"""


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "runs_behind", property(lambda _: True))


def test_a_step_of_two_micro_batches_waits_for_a_gpu_once() -> None:
    assert counted_waits() == {"step before": 1}


def test_what_is_late_tells_and_learns_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(
        corpus(tmp_path / "shards"), run__steps=8, run__checkpoint_every=3, run__log_every=2
    )
    told: dict[bool, list[str]] = {}
    for late in (False, True):
        monkeypatch.setattr(World, "runs_behind", late)
        told[late] = []
        train(chosen, str(tmp_path / str(late)), told[late].append)
    assert losses("\n".join(told[True])) == losses("\n".join(told[False]))
    assert len(losses("\n".join(told[True]))) == 4
    one, other = weights(tmp_path / "False", 8), weights(tmp_path / "True", 8)
    # AdamW in one kernel rounds otherwise
    assert all(torch.allclose(value, other[key], atol=1e-5) for key, value in one.items())


@pytest.mark.usefixtures("behind")
def test_figures_are_looked_at_a_step_late_where_nothing_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []
    step, figures = Trainer.step, Trainer.figures

    def stepped(trainer: Trainer, batches: Any, number: int, **more: Any) -> Any:
        seen.append(("step", number))
        return step(trainer, batches, number, **more)

    def looked(trainer: Trainer, launched: Any) -> Any:
        seen.append(("figures", launched.step))
        return figures(trainer, launched)

    monkeypatch.setattr(Trainer, "step", stepped)
    monkeypatch.setattr(Trainer, "figures", looked)
    shards = corpus(tmp_path / "shards")
    train(
        recipe(shards, run__steps=4, run__log_every=4, run__checkpoint_every=4),
        str(tmp_path / "run"),
        silent,
    )
    late = [("step", 0), ("step", 1), ("figures", 0), ("step", 2), ("figures", 1)]
    assert seen == [*late, ("step", 3), ("figures", 2), ("figures", 3)]


@pytest.mark.usefixtures("behind")
def test_a_run_whose_checkpoints_are_written_behind_it_goes_on_to_the_bit(tmp_path: Path) -> None:
    chosen = recipe(
        corpus(tmp_path / "shards"),
        run__steps=7,
        run__checkpoint_every=2,
        optim__decay="constant",  # the rate of a step does not depend on how many there are
    )
    shorter = chosen.replaced(run=chosen.run.replaced(steps=5))
    for out, rules in (("straight", chosen), ("parts", shorter), ("parts", chosen)):
        train(rules, str(tmp_path / out), silent)
    assert_equal_to_the_bit(tmp_path / "straight", tmp_path / "parts", 7)


@pytest.mark.parametrize(
    "after_s",
    [0.03, *(pytest.param(late, marks=pytest.mark.slow) for late in (0.0, 0.01, 0.06, 0.1))],
)
def test_a_kill_at_any_moment_of_writing_leaves_a_whole_checkpoint(
    tmp_path: Path, after_s: float
) -> None:
    chosen = recipe(corpus(tmp_path / "shards"), run__steps=10_000, run__checkpoint_every=1)
    (tmp_path / "recipe.json").write_text(chosen.model_dump_json())
    script = [sys.executable, "-c", _KILLED, str(tmp_path / "recipe.json"), str(tmp_path / "run")]
    killed = subprocess.run(
        [*script, str(after_s)],
        env=_ALONE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    store = Store(str(tmp_path / "run"))
    found = checkpoints.newest_whole(store, checkpoints.RUN)
    assert found.whole is not None
    assert not found.damaged
    last = found.whole.state().step
    lines: list[str] = []
    longer = chosen.replaced(run=chosen.run.replaced(steps=last + 1))
    assert train(longer, str(tmp_path / "run"), lines.append).step == last + 1
    assert any(line.startswith(f"going on from step {last} ") for line in lines)


@pytest.mark.usefixtures("behind")
def test_training_goes_on_while_a_checkpoint_is_written_and_nothing_of_it_gets_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(corpus(tmp_path / "shards"), run__steps=4, run__checkpoint_every=2)
    write, go_on = checkpoints.write, threading.Event()

    def slow(store: Store, step: int, **more: Any) -> Checkpoint:
        assert go_on.wait(60) or step == 4
        return write(store, step, **more)

    def tell(line: str) -> None:
        if line.startswith("step 4 "):
            go_on.set()

    train(chosen, str(tmp_path / "prompt"), silent)
    monkeypatch.setattr(checkpoints, "write", slow)
    train(chosen, str(tmp_path / "slow"), tell)  # step 3 and 4 are done before 2 is written
    for step in (2, 4):
        assert_equal_to_the_bit(tmp_path / "prompt", tmp_path / "slow", step)


@pytest.mark.usefixtures("behind")
def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Checkpoint:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write", full)
    chosen = recipe(corpus(tmp_path / "shards"), run__steps=4, run__checkpoint_every=2)
    with pytest.raises(OSError, match="No space left on device"):
        train(chosen, str(tmp_path / "run"), silent)


_SHARED = """
import sys
from training.run.loop import train
from training.run.parallel import World
from training.run.recipe import TrainRecipe
World.runs_behind = property(lambda _: True)
chosen = TrainRecipe.model_validate_json(open(sys.argv[1]).read())
train(chosen, sys.argv[2], lambda line: print(line, flush=True))
"""


@pytest.mark.slow
def test_shares_of_weights_that_go_in_bf16_learn_what_one_process_does(tmp_path: Path) -> None:
    chosen = recipe(
        corpus(tmp_path / "shards"), run__precision="bf16", run__parallel="fsdp", run__steps=4
    )
    lines: list[str] = []
    train(chosen, str(tmp_path / "alone"), lines.append)
    (tmp_path / "recipe.json").write_text(chosen.model_dump_json())
    (tmp_path / "shared.py").write_text(_SHARED)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(tmp_path / "shared.py"), str(tmp_path / "recipe.json"), str(tmp_path / "both")]
    both = subprocess.run(
        [sys.executable, *launcher, *script],
        env=_ALONE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    ).stdout
    assert len(losses(both)) == 4
    # weights of three decimal places, gradients in other sums
    assert losses(both) == pytest.approx(losses("\n".join(lines)), abs=5e-3)


_LOSSES = Trainer.losses


def hurting(steps: Mapping[int, float]) -> Callable[[Trainer, ReadyBatch], torch.Tensor]:
    """Losses of which those of some steps (of two micro-batches) are multiplied."""
    count = [0]

    def hurt(trainer: Trainer, batch: ReadyBatch) -> torch.Tensor:
        factor = steps.get(count[0] // 2, 1.0)
        count[0] += 1
        return _LOSSES(trainer, batch) * factor

    return hurt


@pytest.mark.parametrize("late", [False, True])
def test_a_lost_step_is_named_moves_nothing_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    monkeypatch.setattr(World, "runs_behind", property(lambda _: late))
    shards = corpus(tmp_path / "shards")
    chosen = recipe(
        shards,
        run__steps=6,
        run__skipped_losses=1,
        run__checkpoint_every=1,
        run__keep=9,
        run__keep_moments=9,
        data__validation=0,
    )
    monkeypatch.setattr(Trainer, "losses", hurting({2: float("nan")}))
    lines: list[str] = []
    made = train(chosen, str(tmp_path / "run"), lines.append)
    assert not made.stopped, "a signal from outside, such as a timeout's, has ended the run"
    [told] = [line for line in lines if "is left out" in line]
    assert told.startswith("step 3 is left out, 1 of at most 1: the loss of ")
    assert told.count("-orig") == 4  # all samples of that step, by their keys
    before, after = weights(tmp_path / "run", 2), weights(tmp_path / "run", 3)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    moments = [
        torch.load(tmp_path / "run" / checkpoints.folder_of(step) / "optimizer.pt")
        for step in (2, 3, 6)
    ]
    name = next(iter(moments[0]))
    assert [one[name]["step"].item() for one in moments] == [2, 2, 5]
    assert torch.equal(moments[0][name]["exp_avg"], moments[1][name]["exp_avg"])
    state = checkpoints.newest_whole(Store(str(tmp_path / "run"))).whole
    assert state is not None
    assert state.state().skipped == 1
    # those that are counted before a stop count after it
    monkeypatch.setattr(Trainer, "losses", hurting({0: float("nan")}))
    longer = chosen.replaced(run=chosen.run.replaced(steps=7))
    with pytest.raises(BadData, match=r"no weight was moved; steps left out before: 1"):
        train(longer, str(tmp_path / "run"), silent)


@pytest.mark.parametrize("late", [False, True])
def test_a_run_whose_first_step_is_lost_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    monkeypatch.setattr(World, "runs_behind", property(lambda _: late))
    chosen = recipe(
        corpus(tmp_path / "shards"), run__steps=2, run__skipped_losses=1, data__validation=0
    )
    shorter = chosen.replaced(run=chosen.run.replaced(steps=1))
    for out, parts in (("straight", [chosen]), ("parts", [shorter, chosen])):
        monkeypatch.setattr(Trainer, "losses", hurting({0: float("nan")}))
        for part in parts:
            train(part, str(tmp_path / out), silent)
    assert_equal_to_the_bit(tmp_path / "straight", tmp_path / "parts", 2)


def test_samples_that_are_left_out_by_their_keys_are_not_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.data.shards import sample_of

    shards, key = corpus(tmp_path / "shards"), sample_of(0).key
    seen: list[str] = []
    losses_of = Trainer.losses

    def kept(trainer: Trainer, batch: ReadyBatch) -> torch.Tensor:
        seen.extend(batch.keys)
        return losses_of(trainer, batch)

    monkeypatch.setattr(Trainer, "losses", kept)
    lines: list[str] = []
    chosen = recipe(shards, run__steps=3, data__without=(key,), data__validation=0)
    train(chosen, str(tmp_path / "run"), lines.append)
    assert len(seen) == 12
    assert key not in seen
    assert any("1 samples could not be used" in line for line in lines)
    assert any("is left out by data.without" in line for line in lines)


def test_moments_are_kept_in_as_many_of_the_last_checkpoints_as_are_wanted(tmp_path: Path) -> None:
    chosen = recipe(
        corpus(tmp_path / "shards"),
        run__steps=4,
        run__checkpoint_every=1,
        run__keep=3,
        run__keep_moments=1,
    )
    run = tmp_path / "run"
    train(chosen, str(run), silent)
    folders = [run / checkpoints.folder_of(step) for step in (2, 3, 4)]
    assert [(folder / "optimizer.pt").exists() for folder in folders] == [False, False, True]
    store = Store(str(run))
    assert checkpoints.find_checkpoint(str(run)).name.endswith("00000004")
    assert all(not checkpoints.damage(one) for one in checkpoints.whole_ones(store))
    (folders[2] / "optimizer.pt").unlink()
    longer = chosen.replaced(run=chosen.run.replaced(steps=5))
    with pytest.raises(Exception, match=r"its optimizer.pt was removed to save room"):
        train(longer, str(run), silent)
    assert checkpoints.find_checkpoint(str(run)).name.endswith("00000003")  # to be played
