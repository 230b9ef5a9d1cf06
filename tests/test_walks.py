"""The walks through the code: the files that they name are there, in an order that never goes back
up, and no file that is entered is missing.

What is entered is seen by a tracer in each process of a command, by `tests/support/tracer`.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.synthesis.songs import write_songs
from tests.support.building import ROOT

CLIP, SAMPLE = ROOT / "pipelines/walk.md", ROOT / "training/walk.md"
PIECE = ROOT / "training/evaluation/walk.md"
WHOLE_TRIP = 200  # at most, from a file on disk to the figures of a piece
MOST = {
    CLIP: 89,
    SAMPLE: 79,
    PIECE: 60,
}  # the goal of a clip's; what a sample's was before there were rooms
LEFT_OUT = "## Passed through, and left out"


def steps(walk: Path) -> list[str]:
    """Files of a walk, in order. Each step has the next number."""
    found = re.findall(r"^(\d+)\. `(\S+)`: \S", walk.read_text(), re.MULTILINE)
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    return [file for _, file in found]


def left_out(walk: Path) -> list[str]:
    """Files that a walk names as those that it passes through."""
    text = walk.read_text().partition(LEFT_OUT)[2]
    return re.findall(r"`(\S+\.py)`", text)


def imported(file: str) -> Iterator[str]:
    """Files that one imports, or names to a door by a module's dotted name, or by its own beside
    it; what only types need is left out.
    """
    tree = ast.parse((ROOT / file).read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (_file(f"{node.module}.{name.name}") for name in node.names)
            yield _file(node.module)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"\w+(\.\w+)*", node.value)
        ):
            yield _file(node.value)
            yield f"{Path(file).parent}/{node.value}.py"


def _file(module: str) -> str:
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


@pytest.mark.parametrize("walk", [CLIP, SAMPLE, PIECE])
def test_each_file_of_a_walk_is_there_and_named_once(walk: Path) -> None:
    named = [*steps(walk), *left_out(walk)]
    assert [file for file in named if not (ROOT / file).is_file()] == []
    assert len(named) == len(set(named))
    assert 40 < len(steps(walk)) <= MOST[walk]


@pytest.mark.parametrize("walk", [CLIP, SAMPLE, PIECE])
def test_a_walk_never_goes_back_up(walk: Path) -> None:
    known = {steps(walk)[0]}
    if walk is PIECE:  # it goes on from the others
        known |= {file for before in (CLIP, SAMPLE) for file in steps(before)}
    unannounced = []
    for file in steps(walk):
        if file not in known:
            unannounced.append(file)
        known |= {*imported(file)}
    assert unannounced == []


@pytest.mark.parametrize("walk", [CLIP, SAMPLE, PIECE])
def test_a_walk_says_how_long_it_is(walk: Path) -> None:
    listed, passed = len(steps(walk)), len(left_out(walk))
    text = " ".join(walk.read_text().split())
    assert f"counts {listed + passed}" in text
    assert f"these {listed}, and {passed} that" in text


def entered(folder: Path, *command: str) -> set[str]:
    """Files of which a function runs in any process of a command, imports aside."""
    notes = folder / f"entered-by-{command[0]}"
    notes.mkdir()
    path = [ROOT / "tests/support/tracer", ROOT, ROOT / "flows/api"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "NOTE_ENTERED": str(notes),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "flows.cli", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {file for note in notes.iterdir() for file in note.read_text().split()}


def test_the_whole_trip_is_as_long_as_it_says() -> None:
    files = {file for walk in (CLIP, SAMPLE, PIECE) for file in steps(walk)}
    assert f"All three together name {len(files)} files" in " ".join(PIECE.read_text().split())
    assert len(files) <= WHOLE_TRIP


@pytest.mark.slow
def test_no_file_that_is_entered_is_missing_from_a_walk(tmp_path: Path) -> None:
    write_songs(tmp_path / "songs", songs=3)
    (tmp_path / "music").mkdir()
    shutil.copy(tmp_path / "songs/piece-000.flac", tmp_path / "music")
    built = entered(tmp_path, "build", "music", "--out", "corpus")
    wanted = {*steps(CLIP), *left_out(CLIP)}
    assert (sorted(built - wanted), sorted(wanted - built)) == ([], [])
    entered(tmp_path, "encode", "corpus", "--codec", "mel")
    two_steps = ("--preset", "tiny", "--set", "run.steps=2")
    trained = entered(tmp_path, "train", "corpus", "--out", "run", *two_steps)
    wanted = {*steps(SAMPLE), *left_out(SAMPLE)}
    assert (sorted(trained - wanted), sorted(wanted - trained)) == ([], [])
