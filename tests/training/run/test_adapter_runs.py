"""Runs of which only a part learns: what they keep, how they go on, and what plays."""

import shutil
from pathlib import Path

import pytest
import safetensors
import torch

from tests.training.run.test_loop import assert_equal_to_the_bit, losses, silent, started, weights
from tests.training.runs import recipe
from training.conditions import CONTROLS
from training.errors import TrainingError
from training.generation.generate import model_of
from training.run.checkpoints import find_checkpoint, folder_of
from training.run.loop import train
from training.run.recipe import TrainRecipe
from training.run.warm_start import played_weights

NAMES = {"model.safetensors", "adapter.safetensors", "optimizer.pt", "recipe.json", "corpus.json"}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """A run without frame rows, one step long."""
    out = tmp_path_factory.mktemp("parent") / "run"
    train(recipe(shards, run__steps=1, model__rows=()), str(out), silent)
    return out


def child(shards: Path, parent: Path, **knobs: object) -> TrainRecipe:
    small: dict[str, object] = {
        "run__start_from": str(parent),
        "run__steps": 4,
        "run__checkpoint_every": 2,
        "model__rows": (),
        "adapter__rank": 2,
    }
    return recipe(shards, **(small | knobs))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, shards: Path, parent: Path) -> Path:
    out = tmp_path_factory.mktemp("adapted") / "run"
    train(child(shards, parent), str(out), silent)
    return out


def test_a_checkpoint_holds_the_adapter_alone_with_its_parent_s_hash(
    adapted: Path, parent: Path
) -> None:
    checkpoint = find_checkpoint(str(adapted))
    assert set(checkpoint.state().files) == NAMES | {"state.json"}
    file = adapted / checkpoint.file("adapter.safetensors")
    with safetensors.safe_open(file, "pt") as opened:
        said, held = opened.metadata(), set(opened.keys())
    theirs = find_checkpoint(str(parent)).state().files["ema.safetensors"]
    assert (said["parent"], said["parent_sha256"], said["scale"]) == ("run", theirs, "1")
    assert held
    assert all(".lora_A." in name or ".lora_B." in name for name in held)


def test_what_plays_is_the_parent_with_the_adapter_merged(adapted: Path, parent: Path) -> None:
    checkpoint, base = find_checkpoint(str(adapted)), weights(parent, 1, "ema.safetensors")
    played = played_weights(checkpoint)
    changed = {name for name, value in base.items() if not torch.equal(value, played[name])}
    assert played.keys() == base.keys()
    assert {name.split(".")[-2] for name in changed} == {"query", "key", "value", "out"}
    assert changed == {
        name.replace(".lora_A.", ".")
        for name in weights(adapted, 4, "adapter.safetensors")
        if ".lora_A." in name
    }


def test_it_goes_on_to_the_bit(tmp_path: Path, shards: Path, parent: Path, adapted: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(adapted, again)
    shutil.rmtree(again / folder_of(4))
    train(child(shards, parent), str(again), silent)
    assert_equal_to_the_bit(adapted, again, 4, ("model.safetensors", "adapter.safetensors"))


def test_a_parent_that_is_gone_or_changed_is_named(
    tmp_path: Path, shards: Path, parent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, out = tmp_path / "parent", tmp_path / "run"
    shutil.copytree(parent, copied)
    monkeypatch.chdir(tmp_path)  # named from here, and asked for from elsewhere
    train(child(shards, Path("parent"), run__steps=1), str(out), silent)
    monkeypatch.chdir("/")
    played_weights(find_checkpoint(str(out)))
    train(recipe(shards, run__steps=2, run__keep=1, model__rows=()), str(copied), silent)
    gone = rf"^{copied}/checkpoints/step-00000001, whose weights these lie on top of, is gone"
    with pytest.raises(TrainingError, match=gone):
        played_weights(find_checkpoint(str(out)))


def test_new_rows_learn_alone_and_what_was_loaded_stays(
    tmp_path: Path, shards: Path, parent: Path
) -> None:
    frozen = {"adapter__rank": 0, "adapter__frozen": ("loaded",), "model__rows": CONTROLS}
    for branch in ("added", "copy"):
        out = tmp_path / branch
        train(child(shards, parent, model__row_branch=branch, **frozen), str(out), silent)
        played = played_weights(find_checkpoint(str(out)))
        base = weights(parent, 1, "ema.safetensors")
        assert all(torch.equal(value, played[name]) for name, value in base.items())
        own = weights(out, 4, "adapter.safetensors")
        assert own.keys() == played.keys() - base.keys()
        ways_in = ("block.rows.weight", "row_copy.leave.0.weight")
        assert any(value.any() for name, value in own.items() if name.endswith(ways_in))
        checkpoint = find_checkpoint(str(out))
        model_of(checkpoint.record("recipe.json", TrainRecipe), checkpoint)


@pytest.mark.parametrize(
    "knobs",
    [
        {"model__rows": CONTROLS, "model__row_branch": "copy"},  # attention that is new, too
        {"model__rows": CONTROLS, "adapter__rank": 0, "adapter__frozen": ("munet.down",)},
    ],
)
def test_what_is_new_beside_an_adapter_or_in_a_frozen_part_plays_too(
    tmp_path: Path, shards: Path, parent: Path, knobs: dict[str, object]
) -> None:
    short = knobs | {"run__steps": 2, "data__validation": 0}
    train(child(shards, parent, **short), str(tmp_path / "run"), silent)
    checkpoint, base = find_checkpoint(str(tmp_path / "run")), weights(parent, 1, "ema.safetensors")
    model = model_of(checkpoint.record("recipe.json", TrainRecipe), checkpoint)
    own = weights(tmp_path / "run", 2, "adapter.safetensors")
    changed = {name.replace(".lora_A.", ".") for name in own if ".lora_" in name}
    assert not {name for name in changed if ".row_copy." in name}
    assert {name for name, _ in model.named_parameters()} - base.keys() <= own.keys()


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_adapt_as_one_does(
    tmp_path: Path, shards: Path, parent: Path, parallel: str
) -> None:
    chosen = child(shards, parent, run__parallel=parallel)
    alone = started(chosen, tmp_path / "alone").communicate(timeout=300)[0]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    both = started(chosen, tmp_path / "both", *launcher).communicate(timeout=300)[0]
    assert losses(both) == pytest.approx(losses(alone), abs=2e-4)
    assert len(losses(alone)) == 4
    one = weights(tmp_path / "alone", 4, "adapter.safetensors")
    two = weights(tmp_path / "both", 4, "adapter.safetensors")
    assert one.keys() == two.keys()
    assert all(torch.allclose(value, two[name], atol=2e-3) for name, value in one.items())
