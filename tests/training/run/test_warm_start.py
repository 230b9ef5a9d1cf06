"""A run that begins with another's weights: it plays as that one at first, and says where it is
from.
"""

import shutil
from pathlib import Path

import pytest

from pipelines.codecs import open_codec
from tests.training.run.test_loop import assert_equal_to_the_bit, silent, weights
from tests.training.runs import NET, recipe
from training.conditions import CONTROLS
from training.errors import TrainingError
from training.munet.config import MuNetConfig
from training.run.checkpoints import find_checkpoint
from training.run.loop import train
from training.run.recipe import TrainRecipe
from training.run.warm_start import warm_start

MEL = open_codec("mel").facts


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path:
    """A run without frame rows, two steps long."""
    out = tmp_path_factory.mktemp("parent") / "run"
    train(recipe(shards, run__steps=2, model__rows=()), str(out), silent)
    return out


def child(shards: Path, parent: Path, **knobs: object) -> TrainRecipe:
    return recipe(
        shards,
        **({"run__start_from": str(parent), "run__steps": 4, "run__checkpoint_every": 2} | knobs),
    )


def test_it_begins_with_what_played_there(tmp_path: Path, shards: Path, parent: Path) -> None:
    still = {"optim__lr": 1e-12, "optim__weight_decay": 0, "run__steps": 1}
    train(child(shards, parent, model__rows=(), **still), str(tmp_path / "run"), silent)
    played, after = weights(parent, 2, "ema.safetensors"), weights(tmp_path / "run", 1)
    assert played.keys() == after.keys()
    latest = weights(parent, 2)
    assert all((value - after[name]).abs().max() < 1e-9 for name, value in played.items())
    assert any((value - after[name]).abs().max() > 1e-4 for name, value in latest.items())


def test_it_says_where_it_is_from_and_so_do_its_own_children(
    tmp_path: Path, shards: Path, parent: Path
) -> None:
    for name, above in (("one", parent), ("two", tmp_path / "one")):
        train(child(shards, above, run__steps=1, model__rows=()), str(tmp_path / name), silent)
    state = find_checkpoint(str(tmp_path / "two")).state()
    files = [find_checkpoint(str(run)).state().files for run in (parent, tmp_path / "one")]
    assert [one.name for one in state.parents] == ["run", "one"]
    assert [one.sha256 for one in state.parents] == [one["ema.safetensors"] for one in files]


def test_it_goes_on_to_the_bit_and_needs_its_parent_no_more(
    tmp_path: Path, shards: Path, parent: Path
) -> None:
    copied = tmp_path / "parent"
    shutil.copytree(parent, copied)
    chosen = child(shards, copied, model__rows=())
    train(chosen, str(tmp_path / "whole"), silent)
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.rmtree(tmp_path / "again/checkpoints/step-00000004")
    shutil.rmtree(copied)
    train(chosen, str(tmp_path / "again"), silent)
    assert_equal_to_the_bit(tmp_path / "whole", tmp_path / "again", 4)
    parents = [find_checkpoint(str(tmp_path / run)).state().parents for run in ("whole", "again")]
    assert parents[0] == parents[1] != ()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (NET.replaced(rows=(), widths=(16, 32)), r"model\.widths = 16, 32 \(there 16, 16\)"),
        (NET.replaced(rows=(), head_width=4), r"model\.head_width = 4 \(there 8\)"),
        (NET.replaced(rows=(), controls=()), r"model\.controls = \(\) \(there beats, chords\)"),
        (NET.replaced(rows=(), time_unit_s=1), r"model\.time_unit_s = 1\.0 \(there 0\.04\)"),
    ],
)
def test_a_net_that_does_not_fit_is_refused_with_its_reason(
    shards: Path, parent: Path, model: MuNetConfig, reason: str
) -> None:
    with pytest.raises(TrainingError, match=reason):
        warm_start(child(shards, parent).replaced(model=model), MEL)


def test_another_target_or_other_latents_are_refused(shards: Path, parent: Path) -> None:
    target = {"objective__target": "epsilon", "objective__zero_terminal": False}
    chosen = child(shards, parent, model__rows=())
    with pytest.raises(TrainingError, match=r"objective: epsilon \(there v_prediction\)"):
        warm_start(child(shards, parent, model__rows=(), **target), MEL)
    with pytest.raises(TrainingError, match=r"latents of mel 1, but the codec here is mel 2"):
        warm_start(chosen, MEL.replaced(version="2"))
    assert warm_start(chosen, MEL).notes == ()


def test_frame_rows_beside_loaded_weights_change_nothing_at_first(
    tmp_path: Path, shards: Path, parent: Path
) -> None:
    """The first validation loss is that of the parent: nothing has moved yet."""
    assert NET.rows == CONTROLS
    losses = {}
    for name, rows in (("without", ()), ("with", CONTROLS)):
        lines: list[str] = []
        still = {"run__steps": 1, "run__validate_every": 1, "optim__lr": 1e-12}
        chosen = child(shards, parent, model__rows=rows, optim__weight_decay=0, **still)
        train(chosen, str(tmp_path / name), lines.append)
        losses[name] = [line for line in lines if "validation" in line]
    assert losses["with"] == losses["without"] != []
    held = weights(tmp_path / "with", 1)
    assert any("mix_rows" in name for name in held)


def test_an_imported_or_damaged_parent_is_told_apart(
    tmp_path: Path, shards: Path, parent: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(parent, other)
    file = other / "checkpoints/step-00000002/ema.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(TrainingError, match=r"no whole checkpoint .*ema\.safetensors"):
        train(child(shards, other), str(tmp_path / "run"), silent)
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        train(child(shards, tmp_path / "nothing"), str(tmp_path / "run"), silent)
