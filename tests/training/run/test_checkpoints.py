"""Checkpoints: what is written is known by its hash, and what is no longer that is named."""

import errno
import hashlib
from pathlib import Path

import pytest
import torch

from pipelines.storage.store import Store
from training.run import checkpoints
from training.run.checkpoints import (
    CORPUS,
    EMA,
    MODEL,
    OPTIMIZER,
    RECIPE,
    STATE,
    Checkpoint,
    damage,
    drop_old,
    newest_whole,
    write,
)


def written(store: Store, step: int) -> Checkpoint:
    weights = {"weight": torch.full((3, 2), float(step))}
    moments = {
        "weight": {
            "step": torch.tensor(float(step)),
            "exp_avg": weights["weight"],
            "exp_avg_sq": weights["weight"],
        }
    }
    documents = {RECIPE: {"run": step}, CORPUS: {"samples": step}, STATE: {"step": step}}
    return write(
        store, step, weights={MODEL: weights, EMA: weights}, optimizer=moments, documents=documents
    )


@pytest.mark.parametrize("url", ["{folder}", "memory://checkpoints-{name}"])
def test_the_hash_of_every_file_stands_in_the_state_that_is_written_last(
    url: str, tmp_path: Path
) -> None:
    store = Store(url.format(folder=tmp_path, name=tmp_path.name))
    made = written(store, 4)
    hashes = made.state().files
    assert set(hashes) == {MODEL, EMA, OPTIMIZER, RECIPE, CORPUS, STATE}
    del hashes[STATE]  # its seal
    assert all(
        hashlib.sha256(store.read_bytes(made.file(name))).hexdigest() == sha256
        for name, sha256 in hashes.items()
    )
    assert damage(made) == ""
    assert made.optimizer()["weight"]["exp_avg"].tolist() == [[4.0, 4.0]] * 3


@pytest.mark.parametrize("name", [MODEL, EMA, OPTIMIZER, RECIPE, CORPUS])
def test_one_bit_in_any_file_is_named_and_only_in_those_that_are_wanted(
    name: str, tmp_path: Path
) -> None:
    made = written(Store(str(tmp_path)), 4)
    file = tmp_path / made.file(name)
    content = bytearray(file.read_bytes())
    content[-5] ^= 4
    file.write_bytes(bytes(content))
    assert damage(made) == f"{name} is not what was written, by its SHA-256 in state.json"
    assert damage(made, files=[name]) == damage(made)
    assert damage(made, files={MODEL, EMA, OPTIMIZER, RECIPE, CORPUS} - {name}) == ""


def test_another_count_in_the_state_is_named_by_its_seal(tmp_path: Path) -> None:
    made = written(Store(str(tmp_path)), 4)
    file = tmp_path / made.file(STATE)
    file.write_text(file.read_text().replace('"step": 4', '"samples": 5, "step": 4'))
    assert damage(made) == "state.json is not what was written: its seal is broken"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"step"', "state.json is not JSON"),
        (b"\xff\xfe", "state.json is not JSON"),
        (b"[" * 100_000, "state.json is not JSON"),
        (b'{"step": "four"}', "state.json is not of a model that this version trains: step"),
        (b'{"step": 5}', "state.json is of step 5"),
        (b"[]", "state.json is not of a model"),
    ],
)
def test_a_state_that_says_nothing_or_another_step_is_damage(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    made = written(Store(str(tmp_path)), 4)
    (tmp_path / made.file(STATE)).write_bytes(content)
    assert damage(made).startswith(reason)


def test_the_newest_whole_one_is_found_and_newer_ones_are_told(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made = [written(store, step) for step in (2, 4, 6)]
    (tmp_path / made[2].file(EMA)).unlink()
    found = newest_whole(store)
    assert found.whole == made[1]
    assert [one.line for one in found.damaged] == [
        f"{made[2].name} is damaged and not used: No such file or directory: {EMA}"
    ]


def test_a_failing_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = written(Store(str(tmp_path)), 4)

    def fails(*_: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoints, "sha256_of", fails)
    with pytest.raises(OSError, match="Input/output error"):
        damage(made)


def test_damaged_ones_do_not_count_among_those_that_are_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    made = [written(store, step) for step in (2, 4, 6, 8)]
    drop_old(store, 2, damaged={made[3].folder, made[2].folder})
    assert [one.folder for one in checkpoints.whole_ones(store)] == [made[0].folder, made[1].folder]
    assert not (tmp_path / made[3].folder).exists()
