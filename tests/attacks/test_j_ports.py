"""Table J: no command that works on this machine listens to anybody."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from flows.build.recipe_files import recipe_toml
from tests.support import building
from tests.support.tone_corpus import PLAIN


def listeners(command: Sequence[str]) -> set[str]:
    """Addresses that a command or anything it started was seen to listen on, while it ran to its
    end without an error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *command],
        cwd=building.ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    seen: set[str] = set()
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)  # a port that is opened stays for a stage
        with suppress(psutil.Error):
            top = psutil.Process(process.pid)
            for member in [top, *top.children(recursive=True)]:
                seen |= _of(member)
    assert process.returncode == 0, process.communicate()[1].decode()
    return seen


def _of(member: psutil.Process) -> set[str]:
    with suppress(psutil.Error):
        return {
            f"{found.laddr.ip}:{found.laddr.port}"
            for found in member.net_connections("inet")
            if found.status == psutil.CONN_LISTEN
        }
    return set()


def test_the_watcher_sees_a_listener() -> None:
    """The other tests mean nothing where it does not."""
    process = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(_of(psutil.Process(process.pid))) == 1
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_j1_no_step_of_a_build_listens_with_two_workers(tmp_path: Path) -> None:
    music, out, recipe = tmp_path / "music", str(tmp_path / "out"), tmp_path / "plain.toml"
    music.mkdir()
    seconds = np.arange(9 * 44_100) / 44_100
    for number in range(4):
        soundfile.write(
            music / f"{number}.flac",
            0.3 * np.sin(2 * np.pi * (200 + 10 * number) * seconds),
            44_100,
        )
    recipe.write_text(recipe_toml(PLAIN, comments=False))
    assert (
        listeners(["build", str(music), "--out", out, "--workers", "2", "--recipe", str(recipe)])
        == set()
    )
    assert listeners(["verify", out, "--workers", "2"]) == set()


@pytest.mark.slow
def test_j1_neither_the_demo_nor_labels_nor_latents_listen(tmp_path: Path) -> None:
    words = tmp_path / "words.csv"
    words.write_text(
        "caption\n"
        + "\n".join(
            f"A {mood} piece for {what}."
            for mood in ("calm", "fast")
            for what in ("piano", "drums")
        )
        + "\n"
    )
    vocabulary = str(tmp_path / "vocabulary.parquet")
    assert (
        listeners(["demo", "--out", str(tmp_path / "demo"), "--songs", "3", "--workers", "2"])
        == set()
    )
    assert (
        listeners(
            ["captions", "vocabulary", str(words), "--out", vocabulary, "--licence", "CC0-1.0"]
        )
        == set()
    )
    corpus = str(tmp_path / "demo" / "corpus")
    assert listeners(["label", corpus, "--vocabulary", vocabulary, "--workers", "2"]) == set()
    assert listeners(["encode", corpus, "--codec", "mel", "--workers", "2"]) == set()
