"""Faults of the machine: a full or failing disk, too many open files, a source that goes away.

None of them is an input's death.

A fault leaves buckets unfinished; the same command gives the bytes of an undisturbed build once the
machine is well.
"""

import gzip
import io
import os
import resource
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch

from flows.build.local import build
from pipelines.audio.decode import read_window
from pipelines.audio.probe import probe_files
from pipelines.beam.options import Engine
from pipelines.errors import DeadInput, PipelineError
from pipelines.shards.find import find_shards
from pipelines.shards.read import read_shard
from pipelines.storage.duckdb_scratch import scratch
from pipelines.storage.store import Store
from schemas.corpus import Probed
from schemas.dataset import Dataset
from schemas.recipe import IngestRecipe
from tests.attacks.conftest import obbligato
from tests.support.building import digests
from tests.support.disks import CannotMount, Disk, failing_from, mounted
from tests.support.tone_corpus import PLAIN
from training.run import checkpoints
from training.run.checkpoints import MODEL, STATE

RATE_HZ = 44_100
NO_SPACE = "No space left on device"


class Whole(NamedTuple):
    """Sources, and the undisturbed build of them."""

    source: Path
    out: Path


def tone(number: int, seconds: float = 9.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A tone with noise below it, so that FLAC cannot make it small."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return 0.3 * np.sin(2 * np.pi * (200 + 10 * number) * times) + np.random.default_rng(
        number
    ).uniform(-0.02, 0.02, len(times))


def flac(number: int) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, tone(number), RATE_HZ, format="FLAC")
    return out.getvalue()


def shard(path: Path, songs: int) -> Path:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(songs):
            for name, content in (
                (f"{number}.flac", flac(number)),
                (f"{number}.json", b'{"caption": "A tone."}'),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def built(source: Path, out: Path, watch: Any = lambda _: None) -> Dataset:
    return build([str(source)], str(out), PLAIN, Engine(), watch)


def dead_in(out: Path) -> set[str]:
    """Codes of the dead that ingest has found so far."""
    store = Store(str(out))
    names = [name for name in store.names("probed") if name.endswith(".parquet")]
    return {row.code for name in names for row in store.read_records(f"probed/{name}", Probed)} - {
        ""
    }


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """This process and its children may open so many more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("songs")
    source = shard(folder / "songs.tar", songs=4)
    assert built(source, folder / "out").inputs.counts == {"in": 4, "used": 4}
    return Whole(source, folder / "out")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        with mounted(tmp_path / "disk") as made:
            yield made
    except CannotMount as error:
        pytest.skip(f"needs a small disk: {error}")


@pytest.fixture
def temporary(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk for temporary files, of this process and its children."""
    monkeypatch.setenv("TMPDIR", str(disk.folder))
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    return disk


def stops_then_gives_the_same(whole: Whole, out: Path, disk: Disk) -> None:
    with pytest.raises((PipelineError, OSError), match=NO_SPACE):
        built(whole.source, out)
    assert not dead_in(out)
    disk.empty()
    built(whole.source, out)
    assert digests(out) == digests(whole.out)


def test_g_tmpdir_full_a_shard_loses_no_song(songs: Whole, temporary: Disk, tmp_path: Path) -> None:
    temporary.leave(900_000)  # one song and a part of the next
    stops_then_gives_the_same(songs, tmp_path / "out", temporary)


def test_g_tmpdir_full_ends_the_command_in_one_line(
    songs: Whole, temporary: Disk, tmp_path: Path
) -> None:
    temporary.leave(900_000)
    ended = obbligato("build", songs.source, "--out", tmp_path / "out", "--set", "vary.speeds=0")
    output = ended.stderr.strip()
    assert (ended.returncode, output.count("\n")) == (1, 0)
    assert output.startswith(
        "obbligato: stage probe: 1 of 1 buckets are unfinished, slice-00000 first: "
    )
    assert NO_SPACE in output


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
def test_g_tmpdir_full_half_of_what_ffmpeg_wrote_is_not_the_whole(
    temporary: Disk, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    soundfile.write(tmp_path / "a.wav", tone(0), RATE_HZ)
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(tmp_path / "a.wav"),
            "-c:a",
            "aac",
            str(source / "a.m4a"),
        ],
        check=True,
    )
    built(source, tmp_path / "whole")
    temporary.leave(500_000)
    stops_then_gives_the_same(Whole(source, tmp_path / "whole"), tmp_path / "out", temporary)


def test_g_tmpdir_full_no_shard_is_called_bad(songs: Whole, temporary: Disk) -> None:
    temporary.leave(8192)
    ended = obbligato("shards", "verify", songs.source)
    assert ended.returncode == 1
    assert NO_SPACE in ended.stderr
    assert "cannot be used" not in ended.stdout + ended.stderr
    temporary.empty()
    assert obbligato("shards", "verify", songs.source).returncode == 0


def test_g_tmpdir_full_a_packed_shard_is_not_called_bad(
    songs: Whole, temporary: Disk, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "songs.tar.gz").write_bytes(gzip.compress(songs.source.read_bytes(), 1))
    monkeypatch.setattr("pipelines.shards.find._IN_MEMORY", 1024)
    temporary.leave(8192)
    with pytest.raises(PipelineError, match=f"songs.tar.gz.*{NO_SPACE}"):
        list(read_shard(find_shards(str(tmp_path / "songs.tar.gz")).shards[0]))


def test_g_tmpdir_full_the_scratch_database_says_so_in_one_line(temporary: Disk) -> None:
    temporary.leave(8192)

    def fill() -> None:
        with scratch() as database:
            database.run("create table many as select range as number from range(10_000_000)")
            database.run("checkpoint")

    with pytest.raises((PipelineError, OSError), match="make room"):
        fill()


@pytest.mark.slow
def test_g_output_full_the_line_names_the_file(songs: Whole, disk: Disk) -> None:
    disk.leave(300_000)
    with pytest.raises(
        (PipelineError, OSError), match=f"writing {disk.folder}.*{NO_SPACE}; make room"
    ):
        built(songs.source, disk.folder / "out")
    disk.empty()
    built(songs.source, disk.folder / "out")
    assert digests(disk.folder / "out") == digests(songs.out)


@pytest.mark.parametrize("spare", [0, 1, 3])
def test_g_too_many_open_files_are_nobody_s_death(songs: Whole, tmp_path: Path, spare: int) -> None:
    """With so many descriptors to spare: some of these get far, some nowhere; none of them finds a
    dead song.
    """
    with descriptors(spare), suppress(PipelineError, OSError):
        built(songs.source, tmp_path / "out")
    assert not dead_in(tmp_path / "out")


def test_g_too_many_open_files_in_a_child_are_nobody_s_death(tmp_path: Path) -> None:
    """A decoder that finds no descriptor has not looked at the file."""
    (tmp_path / "a.flac").write_bytes(flac(0))
    with descriptors(0), pytest.raises((PipelineError, OSError), match="Too many open files"):
        probe_files([str(tmp_path / "a.flac")], IngestRecipe())


def test_g_a_row_whose_file_cannot_be_looked_at_stops_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server of a network's disk was started anew: its old handles are stale until the disk is
    mounted again.
    """
    (tmp_path / "a.flac").write_bytes(flac(0))
    (tmp_path / "songs.csv").write_text("uri\na.flac\n")

    def stale(_: str) -> None:
        raise OSError(116, os.strerror(116))

    monkeypatch.setattr("pipelines.inputs.listing._local_facts", stale)
    with pytest.raises(PipelineError, match="Stale file handle"):
        built(tmp_path / "songs.csv", tmp_path / "out")


def test_g_a_failing_disk_is_no_song_s_death(tmp_path: Path) -> None:
    """The second half of the file cannot be read by anybody; decoders say that it is damaged."""
    try:
        with mounted(tmp_path / "disk", kind="ext4") as disk:
            song = disk.folder / "a.wav"
            soundfile.write(song, tone(0, 60), RATE_HZ)
            failing_from(song, disk, share=0.5)
            with pytest.raises(Exception, match="Input/output error") as probed:
                assert not probe_files([str(song)], IngestRecipe())
            with pytest.raises(Exception, match="Input/output error") as read:
                read_window(str(song), 40.0, 50.0)
    except CannotMount as error:
        pytest.skip(f"needs a failing disk: {error}")
    assert not isinstance(probed.value, DeadInput)
    assert not isinstance(read.value, DeadInput)


@pytest.mark.slow
def test_g_a_source_that_goes_away_after_it_was_listed_is_waited_for(tmp_path: Path) -> None:
    source, away = tmp_path / "in", tmp_path / "away.flac"
    source.mkdir()
    for number in range(2):
        (source / f"{number}.flac").write_bytes(flac(number))
    built(source, tmp_path / "whole")

    def go(progress: Any) -> None:
        if progress.step == "annotate" and not away.exists():
            (source / "1.flac").rename(away)

    with pytest.raises(
        PipelineError, match=r"1\.flac can no longer be read: No such file or directory; run again"
    ):
        built(source, tmp_path / "out", go)
    away.rename(source / "1.flac")
    assert built(source, tmp_path / "out").inputs.counts == {"in": 2, "used": 2}
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


@pytest.mark.slow
def test_g_a_source_that_stays_away_is_no_longer_in_the_build(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(2):
        (source / f"{number}.flac").write_bytes(flac(number))

    def go(progress: Any) -> None:
        if progress.step == "annotate":
            (source / "1.flac").unlink(missing_ok=True)

    with pytest.raises(PipelineError, match=r"1\.flac can no longer be read"):
        built(source, tmp_path / "out", go)
    dataset = built(source, tmp_path / "out")
    assert dataset.inputs.counts == {"in": 1, "used": 1}
    assert dataset.samples.dead == 0


def test_g_output_full_a_checkpoint_says_so(disk: Disk) -> None:
    """The weights find room, the optimizer's moments do not."""
    many = torch.zeros(256, 1024)
    disk.leave(1_500_000)
    with pytest.raises(Exception, match=f"{NO_SPACE}") as raised:
        checkpoints.write(
            Store(str(disk.folder)),
            1,
            weights={MODEL: {"a": many}},
            optimizer={"a": many},
            documents={STATE: {}},
        )
    assert isinstance(raised.value, PipelineError | OSError)
    assert not checkpoints.whole_ones(Store(str(disk.folder)))
