"""Temporary folders go with their process, and what a killed one left goes with the next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pipelines.storage.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "clip.wav").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def started(folder: Path) -> tuple["subprocess.Popen[str]", Path]:
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_what_is_left_of_a_process_is_removed_and_what_is_in_use_stays(
    tmp_path: Path, end: signal.Signals | None
) -> None:
    living, used = started(tmp_path)
    ended, left = started(tmp_path)
    assert (left / "clip.wav").exists()
    if end is None:
        ended.communicate("")
    else:
        ended.send_signal(end)
        ended.wait()
    assert left.exists() is (end is not None)
    third, own = started(tmp_path)
    assert [path.exists() for path in (left, used, own)] == [False, True, True]
    for process in (living, third):
        process.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_empty_folders_that_beam_left_go_after_a_day_and_nothing_else_of_theirs(
    tmp_path: Path,
) -> None:
    old, full, new = (tmp_path / f"beam-pipeline-temp{name}" for name in ("old", "full", "new"))
    for folder in (old, full, new):
        folder.mkdir()
    (full / "mine").touch()
    (tmp_path / "beam-pipeline-templink").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    for path in (old, full, tmp_path / "beam-pipeline-templink"):
        os.utime(path, (0, 0), follow_symlinks=False)
    process, _ = started(tmp_path)
    assert [path.exists() for path in (old, full, new, tmp_path / "elsewhere")] == [
        False,
        True,
        True,
        True,
    ]
    process.communicate("")
