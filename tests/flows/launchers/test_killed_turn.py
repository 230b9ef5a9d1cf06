"""A turn that goes on in place of one whose machine died: its lock is waited out.

Who starts a run by hand is refused at once.
"""

import os
from pathlib import Path

import pytest

from flows.launchers import JobEnd, Launching, TrainJob, launched
from pipelines.errors import PipelineError
from pipelines.storage.lock import Holder, held_by, hold, wait_out
from pipelines.storage.lock_file import NAME
from pipelines.storage.store import Store
from tests.flows.launchers import slurm_stand_in
from tests.support.micro_training import as_options, corpus
from tests.support.running import obbligato

ROOT = Path(__file__).parents[3]


def left_by_a_killed_run(out: Path) -> Holder:
    """A lock that a run of another machine has left, as it stands just after its last renewal."""
    store = Store(str(out))
    with hold(store, "training", lease_s=3600):
        content = store.read_bytes(NAME)
        holder = held_by(store)
    assert holder is not None
    elsewhere = holder.replaced(host="node-2", boot_id="another")
    store.write_bytes(
        NAME,
        content.replace(holder.boot_id.encode(), b"another").replace(
            holder.host.encode(), b"node-2"
        ),
    )
    assert held_by(store) == elsewhere
    return elsewhere


def pass_lease(out: Path) -> None:
    os.utime(out / NAME, (0, 0))


def test_a_lock_that_nobody_renews_is_waited_for_until_its_lease_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_by_a_killed_run(tmp_path)
    monkeypatch.setattr("pipelines.storage.lock.time.sleep", lambda _: pass_lease(tmp_path))
    lines: list[str] = []
    wait_out(Store(str(tmp_path)), lines.append)
    [line] = lines
    assert line.startswith(f"{tmp_path} is locked by training (host node-2, ")
    assert line.endswith("waited for up to 3600 s, in case that it was killed")
    with hold(Store(str(tmp_path)), "training"):
        pass


def test_a_run_that_shows_that_it_lives_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, store = left_by_a_killed_run(tmp_path), Store(str(tmp_path))
    renewed = holder.replaced(renewed="2126-01-01T00:00:00Z")
    monkeypatch.setattr(
        "pipelines.storage.lock.time.sleep", lambda _: store.write_json(NAME, renewed.model_dump())
    )
    wait_out(store, lambda _: None)
    with pytest.raises(PipelineError, match="is in use by training"), hold(store, "training"):
        pass


def test_a_run_of_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    lines: list[str] = []
    wait_out(store, lines.append)
    with hold(store, "training"):
        wait_out(store, lines.append)
    assert lines == []


def test_slurm_goes_on_in_place_of_a_killed_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm_stand_in.install(tmp_path / "bin")
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("OBBLIGATO_TEST_SLURM", str(tmp_path / "jobs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shards, out = str(corpus(tmp_path / "corpus")), tmp_path / "model"
    arguments = ("train", shards, "--out", str(out), *as_options(), "--set", "run.steps=1")
    left_by_a_killed_run(out)

    by_hand = obbligato(*arguments, cwd=ROOT)
    assert by_hand.returncode == 1
    assert "is in use by training" in by_hand.stderr

    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        if "waited for" in line:
            pass_lease(out)

    launching = Launching(launcher="slurm", settings={"poll_s": 0.1})
    assert launched(launching.made, TrainJob(arguments=arguments, out=str(out)), listen) == JobEnd(
        0
    ), lines
