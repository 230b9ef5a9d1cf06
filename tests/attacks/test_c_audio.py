"""Decoders that are stopped, stalled or killed: nothing is decided about the audio in hand, and
half of it is not taken for the whole.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.audio.probe import probe_files
from pipelines.engine.child_process import Child, Death, Limits
from pipelines.errors import DeadInput, PipelineError
from schemas.recipe import IngestRecipe
from tests.support.elsewhere import function_in

MODULE = "held_up_deeds"
DEEDS = """
import os
import select
import signal
import threading


def work(items, context):
    for item in items:
        if item == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        if item == "stopped for a while":
            stopped = os.getpid()
            if not os.fork():
                os.kill(stopped, signal.SIGSTOP)
                select.select([], [], [], 0.7)
                os.kill(stopped, signal.SIGCONT)
                os._exit(0)
            select.select([], [], [])
        if item == "stalled":
            open(context)
        if item == "a stalled thread":
            threading.Thread(target=open, args=[context]).start()
            select.select([], [], [])
    return items
"""
M4A = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom" + bytes(64)
HALF = (
    "import struct, sys; "
    "sys.stdout.buffer.write(b'RIFF' + struct.pack('<I', 200_036) + b'WAVEfmt ' + "
    "struct.pack('<IHHIIHH', 16, 1, 1, 44_100, 88_200, 2, 16) + "
    "b'data' + struct.pack('<I', 200_000) + bytes(200_000))"
)


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (tmp_path / f"{MODULE}.py").write_text(DEEDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Child(Limits(cpu_s=5, memory_mb=600, wall_s=1))
    yield made
    made.close()


@contextmanager
def stalled_file(folder: Path) -> Iterator[Path]:
    """A file of a FUSE disk whose server has begun, and answers nothing more."""
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    try:
        server = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"needs FUSE: {error}")
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"stalled", os.fsencode(folder), b"fuse", 0, options):
        os.close(server)
        pytest.skip(f"needs to mount: {os.strerror(ctypes.get_errno())}")
    try:
        (unique,) = struct.unpack("<8xQ", os.read(server, 1 << 17)[:16])
        begun = struct.pack("<IIII", 7, 31, 65536, 0).ljust(64, b"\0")
        os.write(server, struct.pack("<IiQ", 16 + len(begun), 0, unique) + begun)
        yield folder / "a.flac"
    finally:
        libc.umount2(os.fsencode(folder), 2)
        os.close(server)


@pytest.mark.parametrize("deed", ["stopped", "stopped for a while"])
def test_c_a_child_that_somebody_stops_decides_nothing(child: Child, deed: str) -> None:
    with pytest.raises(
        PipelineError, match="stopped from outside; the bucket stays unfinished: run again"
    ):
        child.run(function_in(MODULE, "work"), [deed], None)


@pytest.mark.parametrize("deed", ["stalled", "a stalled thread"])
def test_c_a_disk_that_does_not_answer_decides_nothing(
    child: Child, deed: str, tmp_path: Path
) -> None:
    with (
        stalled_file(tmp_path / "disk") as file,
        pytest.raises(PipelineError, match="waiting for a disk; the bucket stays unfinished"),
    ):
        child.run(function_in(MODULE, "work"), [deed], str(file))


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> str:
    """An ffmpeg that writes half of a sound and then ends in some way; gives the path of a file
    that needs it.
    """
    program = folder / "ffmpeg"
    program.write_text(f'#!/bin/sh\n{sys.executable} -c "{HALF}"\n{end}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (folder / "a.m4a").write_bytes(M4A)
    return str(folder / "a.m4a")


ENDS = {
    "killed for its memory": "kill -KILL $$",
    "asked to end": "kill -TERM $$",
    "interrupted, which it catches": "exit 255",
    "disk full": "echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1",
    "no descriptor": "echo 'file:a.m4a: Too many open files' >&2; exit 1",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_c_an_ffmpeg_that_the_machine_ends_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    path = stand_in(tmp_path, monkeypatch, end)
    with pytest.raises(PipelineError, match="run again") as raised:
        assert not probe_files([path], IngestRecipe())
    assert not isinstance(raised.value, DeadInput)


def test_c_half_of_a_sound_is_not_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stand_in(
        tmp_path, monkeypatch, "echo 'Invalid data found when processing input' >&2; exit 1"
    )
    [death] = probe_files([path], IngestRecipe())
    assert death == Death("undecodable", "ffmpeg: Invalid data found when processing input")
