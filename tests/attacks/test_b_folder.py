"""A stranger's build as a folder: pipes, devices and links in it cost one line, and nobody's
files.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.running import obbligato
from tests.support.small_build import Built


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("sources.json", [["verify", "BUILD"], ["trust", "BUILD"]]),
        ("run.lock", [["verify", "BUILD"], ["unlock", "BUILD"]]),
        ("begun.json", [["verify", "BUILD"]]),
        ("versions/00002.json", [["verify", "BUILD"]]),
        ("texts/train-00000.done.json", [["verify", "BUILD"], ["step", "BUILD", "pack"]]),
        ("ledger/inputs.parquet", [["dead", "ls", "BUILD"]]),
    ],
)
def test_b_folder_a_pipe_or_a_device_is_one_line(
    strange: Path, name: str, commands: list[list[str]]
) -> None:
    path = strange / name
    path.unlink(missing_ok=True)
    for make in (os.mkfifo, lambda at: os.symlink("/dev/zero", at)):
        make(path)
        for command in commands:
            words = [str(strange) if word == "BUILD" else word for word in command]
            output = obbligato(*words)
            assert (output.returncode, output.stderr.count("\n")) == (1, 1)
            assert f"{path} is a pipe, socket or device" in output.stderr
        path.unlink()


def test_b_folder_shards_verify_waits_for_no_pipe_among_the_versions(strange: Path) -> None:
    os.mkfifo(strange / "versions/00002.json")
    output = obbligato("shards", "verify", strange)
    assert (
        output.returncode,
        "versions/00002.json is a pipe" in output.stdout + output.stderr,
    ) == (
        1,
        True,
    )


@pytest.mark.parametrize("folder", ["matches", "verified", "runs", "shards"])
def test_b_folder_a_link_out_of_a_build_costs_nobody_a_file(
    strange: Path, built: Built, folder: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("mine")
    shutil.rmtree(strange / folder, ignore_errors=True)
    (strange / folder).symlink_to(victim)
    shutil.rmtree(strange / "clips")
    for command in (
        ["build", *built.sources, "--out", str(strange)],
        ["verify", str(strange)],
        ["dead", "retry", str(strange)],
    ):
        output = obbligato(*command)
        assert (output.returncode, f"link.{folder}={victim}" in output.stderr) == (1, True)
    assert os.listdir(victim) == ["thesis.txt"]


def test_b_folder_a_link_that_its_reader_names_is_followed(built: Built, tmp_path: Path) -> None:
    """A disk is full, and the variants lie on another."""
    own, other = tmp_path / "own", tmp_path / "other"
    shutil.copytree(built.out, own)
    (own / "shards").rename(other)
    (own / "shards").symlink_to("../other")
    assert obbligato("trust", own, f"link.shards={other}").returncode == 0
    assert obbligato("verify", own).returncode == 0


def test_a_trust_a_recipe_nested_beyond_measure_is_one_line(strange: Path) -> None:
    (strange / "recipe.toml").write_text("a = " + "[" * 5000)
    (strange / "begun.json").unlink()
    output = obbligato("trust", strange)
    assert (output.returncode, output.stderr.count("\n")) == (1, 1)
    assert "recipe.toml is not a recipe" in output.stderr
