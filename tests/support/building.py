"""Helpers of the build tests: digests of an output, what else was written, and a build in a process
of its own that can be killed.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import psutil

from flows.build.recipe_files import recipe_toml
from schemas.recipe import Recipe

ROOT = Path(__file__).parents[2]


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file that the promise of equal bytes covers: all but run reports and
    markers.
    """
    files = sorted(
        path
        for path in out.rglob("*")
        if path.is_file()
        and not {"runs", "answers"} & set(path.parts)
        and not path.name.endswith(".done.json")
    )
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def written_below(*folders: Path) -> dict[str, bytes]:
    """The bytes of every file below some folders, by its path."""
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    return {str(file): file.read_bytes() for file in files}


def telling(written: dict[str, bytes], *words: str) -> list[str]:
    """Names of what holds one of some words."""
    return sorted(
        name for name, content in written.items() if any(word.encode() in content for word in words)
    )


def started(
    sources: list[str], out: Path, recipe: Recipe, *options: str
) -> subprocess.Popen[bytes]:
    """`obbligato build` in a process of its own."""
    recipe_file = out.parent / f"{out.name}.toml"
    recipe_file.write_text(recipe_toml(recipe, comments=False))
    command = [
        sys.executable,
        "-m",
        "flows.cli",
        "build",
        *sources,
        "--out",
        str(out),
        "--recipe",
        str(recipe_file),
        *options,
    ]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a build; its error output is the test's failure."""
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and everything below it."""
    for member in [
        *psutil.Process(process.pid).children(recursive=True),
        psutil.Process(process.pid),
    ]:
        member.kill()
    process.communicate()


def kill_after_markers(process: subprocess.Popen[bytes], out: Path, markers: int) -> bool:
    """Kill a build once `markers` bucket markers stand; false where it finished first."""
    while len(list(out.rglob("*.done.json"))) < markers:
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        return False
    kill_tree(process)
    return True


def worker_children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a build."""
    return [
        child
        for child in psutil.Process(process.pid).children()
        if "pipelines.engine.child_process" in " ".join(child.cmdline())
    ]
