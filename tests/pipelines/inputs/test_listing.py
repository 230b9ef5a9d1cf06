"""The listing finds every input once, in a fixed order, and is trapped by nothing that a folder can
hold.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from pipelines.build.outputs import Job
from pipelines.engine.bucket import local_files
from pipelines.errors import PipelineError
from pipelines.inputs.listing import list_inputs
from pipelines.stages.inputs.list_inputs import write_listing
from pipelines.storage import remote_folders
from pipelines.storage.remote_folders import Folders
from pipelines.storage.store import Store
from schemas.corpus import InputRow, Source
from schemas.recipe import IngestRecipe, Recipe

pytest_plugins = ["tests.support.servers.object_store"]
RECIPE = IngestRecipe()
JOB = Job("memory://nowhere", "", Recipe())
HOSTILE_NAMES = [
    "new\nline.wav",
    "\x1b[31mred.wav",
    "-rf.wav",
    "--help.wav",
    "...wav",
    "..dots.wav",
    " lead.wav",
    "trail .wav",
    "quo'te\".wav",
    "semi;colon.wav",
    "$(id).wav",
    "a::b.wav",
    "s3::c.wav",
    "http:c.wav",
    "~.wav",
    "%20.wav",
    "a#b.wav",
    "a?b.wav",
    "[x].wav",
    "*.wav",
    "back\\slash.wav",
    "tab\t.wav",
    "ümlaut♭.wav",
    "x" * 250 + ".wav",
    "UPPER.WAV",
    "{brace}.wav",
]


def listed(*sources: Path | str) -> list[InputRow]:
    store = Store(f"memory://listing-{uuid.uuid4().hex}")
    slices = write_listing(
        store, list_inputs([str(source) for source in sources], RECIPE), Recipe()
    )
    return [
        row for name in slices for row in store.read_records(f"listing/{name}.parquet", InputRow)
    ]


def fates(rows: list[InputRow]) -> dict[str, str]:
    return {os.path.basename(row.row): row.code for row in rows}


def tar_at(path: Path, members: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path.read_bytes()


SAMPLES = {
    "one.flac": b"F" * 700,
    "one.json": json.dumps({"caption": "First.", "licence": "CC0-1.0", "bpm": 90}).encode(),
    "two.flac": b"G" * 300,
    "two.txt": b" Second.\n",
    "three.wav": b"H" * 900,
    "three.json": b"{}",
}


def test_files_are_listed_once_in_order_with_their_size(tmp_path: Path) -> None:
    for name in ("b.wav", "a.flac", "sub/c.mp3", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * len(name))
    rows = listed(tmp_path, tmp_path, tmp_path / "a.flac")
    assert [
        (row.place, os.path.relpath(row.source.uri, tmp_path), row.size, row.outcome)
        for row in rows
    ] == [
        (0, "a.flac", 6, None),
        (1, "b.wav", 5, None),
        (2, "notes.txt", 0, "ignored"),
        (3, "sub/c.mp3", 9, None),
    ]


def test_loops_of_links_and_dangling_links_trap_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "loop.wav").symlink_to(tmp_path)
    (tmp_path / "self.wav").symlink_to(tmp_path / "self.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "alias.wav").symlink_to(tmp_path / "a.wav")
    assert fates(listed(tmp_path)) == {
        "a.wav": "", "alias.wav": "",
        "loop": "linked_folder", "loop.wav": "linked_folder",
        "self.wav": "unreadable", "gone.wav": "unreadable",
    }  # fmt: skip


def test_a_folder_named_as_audio_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "album.wav").mkdir()
    (tmp_path / "album.wav" / "song.wav").touch()
    (tmp_path / "shard.tar").mkdir()
    assert fates(listed(tmp_path)) == {"song.wav": ""}


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    os.mkfifo(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.wav")  # probing says what it is
    assert fates(listed(tmp_path)) == {
        "pipe.tar": "not_a_file",
        "pipe.csv": "not_audio",
        "pipe.wav": "",
    }
    assert fates(listed(tmp_path / "pipe.csv")) == {"pipe.csv": "not_a_file"}


def test_side_files_of_macos_are_ignored(tmp_path: Path) -> None:
    for name in ("._a.wav", ".DS_Store", "a.wav", ".hidden.wav"):
        (tmp_path / name).touch()
    assert fates(listed(tmp_path)) == {
        "._a.wav": "not_audio",
        ".DS_Store": "not_audio",
        "a.wav": "",
        ".hidden.wav": "",
    }


def test_hostile_names_are_listed_as_they_are_and_opened_by_them(tmp_path: Path) -> None:
    for number, name in enumerate(HOSTILE_NAMES):
        (tmp_path / name).write_bytes(b"%d" % number)
    rows = listed(tmp_path)
    assert fates(rows) == dict.fromkeys(HOSTILE_NAMES, "")
    with local_files(JOB) as local:
        contents = {
            os.path.basename(row.source.uri): Path(local(row.source)).read_bytes()
            for row in rows
            if "::" not in row.source.uri
        }
    assert contents == {
        name: b"%d" % number for number, name in enumerate(HOSTILE_NAMES) if "::" not in name
    }


@pytest.mark.parametrize("name", ["a::b.wav", "s3::c.wav"])
def test_colons_in_a_name_open_that_file_and_no_other(tmp_path: Path, name: str) -> None:
    """fsspec reads `::` as a chain of protocols."""
    (tmp_path / name).write_bytes(b"right")
    (tmp_path / name.partition("::")[0]).write_bytes(b"wrong")
    [row] = listed(tmp_path / name)
    with local_files(JOB) as local:
        assert Path(local(row.source)).read_bytes() == b"right"


def test_a_name_that_is_not_utf8_is_dead_and_the_rest_is_used(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with open(os.fsencode(tmp_path) + b"/b\xff.wav", "wb"):
        pass
    rows = listed(tmp_path)
    assert [(row.row.rpartition("/")[2], row.code) for row in rows] == [
        ("a.wav", ""),
        ("b\\xff.wav (bytes escaped)", "name_not_utf8"),
    ]
    assert all(row.row.encode() for row in rows)


def test_a_name_that_looks_like_another_ones_escape_hides_neither(tmp_path: Path) -> None:
    (tmp_path / "b\\xff.wav").touch()
    with open(os.fsencode(tmp_path) + b"/b\xff.wav", "wb"):
        pass
    assert sorted(row.code for row in listed(tmp_path)) == ["", "name_not_utf8"]


def test_globs_files_and_urls_name_inputs(tmp_path: Path) -> None:
    for name in ("a1.wav", "a2.wav", "b.wav", "[x].wav"):
        (tmp_path / name).touch()
    assert set(fates(listed(tmp_path / "a*.wav"))) == {"a1.wav", "a2.wav"}
    assert set(fates(listed(tmp_path / "[x].wav"))) == {"[x].wav"}
    assert set(fates(listed(f"file://{tmp_path}/b.wav"))) == {"b.wav"}


@pytest.mark.parametrize("source", ["nothing-here", "none*.wav", "memory://none"])
def test_a_source_that_does_not_exist_is_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(PipelineError, match="does not exist"):
        listed(source if "://" in source else tmp_path / source)


def test_a_manifest_counts_where_it_is_named_and_lies_beside_the_audio_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.wav").write_bytes(b"xx")
    (tmp_path / "songs.csv").write_text("uri,caption\na.wav,Hello.\ngone.wav,x\n")
    assert fates(listed(tmp_path)) == {"a.wav": "", "songs.csv": "not_audio"}
    rows = listed(tmp_path / "songs.csv")
    assert [(row.row.rpartition("#")[2], row.code, row.size, row.captions) for row in rows] == [
        ("2", "", 2, ("Hello.",)),
        ("3", "not_found", 0, ("x",)),
    ]


def test_a_manifest_that_cannot_be_read_is_one_dead_row(tmp_path: Path) -> None:
    (tmp_path / "songs.csv").write_bytes(b"\xff\xfeuri\na.wav\n")
    (tmp_path / "a.wav").touch()
    assert fates(listed(tmp_path / "songs.csv", tmp_path / "a.wav")) == {
        "songs.csv": "bad_table",
        "a.wav": "",
    }


def test_members_of_a_shard_come_with_their_captions_and_their_bytes(tmp_path: Path) -> None:
    tar_at(tmp_path / "shard.tar", SAMPLES)
    rows = {row.row.rpartition("#")[2]: row for row in listed(tmp_path)}
    assert {key: row.captions for key, row in rows.items()} == {
        "one": ("First.",),
        "two": ("Second.",),
        "three": (),
    }
    assert rows["one"].source.licence == "CC0-1.0"
    assert json.loads(rows["one"].source.metadata)["bpm"] == 90
    with local_files(JOB) as local:
        for key, member in (("one", "one.flac"), ("two", "two.flac"), ("three", "three.wav")):
            assert Path(local(rows[key].source)).read_bytes() == SAMPLES[member]


def test_a_sample_without_audio_or_with_two_or_with_broken_json_is_dead_alone(
    tmp_path: Path,
) -> None:
    tar_at(
        tmp_path / "s.tar",
        {
            "a.json": b"{}",
            "b.wav": b"x",
            "b.flac": b"y",
            "c.wav": b"x",
            "c.json": b"{",
            "d.wav": b"x",
            "d.json": b"[1]",
            "e.wav": b"x",
            "._f.wav": b"",
        },
    )
    assert fates(listed(tmp_path)) == {
        "s.tar#a": "bad_sample",
        "s.tar#b": "bad_sample",
        "s.tar#c": "bad_sample",
        "s.tar#d": "bad_sample",
        "s.tar#e": "",
    }


def test_a_truncated_shard_gives_its_whole_samples_and_one_dead_row(tmp_path: Path) -> None:
    content = tar_at(tmp_path / "s.tar", SAMPLES)
    (tmp_path / "s.tar").write_bytes(content[: content.index(b"H" * 900) + 100])
    assert fates(listed(tmp_path)) == {"s.tar#": "damaged_shard", "s.tar#one": "", "s.tar#two": ""}


def test_a_sample_whose_json_was_cut_off_is_not_used_without_it(tmp_path: Path) -> None:
    """Its licence and caption stood there."""
    content = tar_at(
        tmp_path / "s.tar",
        {
            "a.flac": b"A" * 600,
            "a.json": b"{}",
            "b.flac": b"B" * 600,
            "b.json": json.dumps({"licence": "proprietary", "caption": "B" * 700}).encode(),
        },
    )
    (tmp_path / "s.tar").write_bytes(content[: content.index(b'{"licence"') + 100])
    rows = fates(listed(tmp_path))
    assert rows.pop("s.tar#") == "damaged_shard"
    assert rows.get("s.tar#a") == ""
    assert rows.get("s.tar#b") != ""


@pytest.mark.parametrize("content", [b"", b"not a tar" * 100, b"\x1f\x8b" + b"\0" * 100])
def test_what_is_no_shard_is_one_dead_row(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.tar").write_bytes(content)
    (tmp_path / "a.wav").touch()
    [row] = [row for row in listed(tmp_path) if row.source.uri.endswith("s.tar")]
    assert row.outcome == "dead"


def test_remote_folders_and_files_are_listed_as_local_ones() -> None:
    root = f"/{uuid.uuid4().hex}"
    memory = fsspec.filesystem("memory")
    for name, content in (("a.wav", b"abc"), ("sub/b.flac", b"de"), ("x.txt", b"")):
        memory.pipe_file(f"{root}/{name}", content)
    rows = listed(f"memory://{root}")
    assert [(row.source.uri, row.size, row.code) for row in rows] == [
        (f"memory://{root}/a.wav", 3, ""),
        (f"memory://{root}/sub/b.flac", 2, ""),
        (f"memory://{root}/x.txt", 0, "not_audio"),
    ]
    with local_files(JOB) as local:
        copy = Path(local(Source(uri=f"memory://{root}/a.wav")))
        assert copy.read_bytes() == b"abc"
    assert not copy.exists()
    memory.rm(root, recursive=True)


def in_memory(*files: str, **tables: str) -> str:
    """URL of a fresh folder in memory with these files (of as many bytes as their name has) and
    tables.
    """
    root = f"/{uuid.uuid4().hex}"
    for name in files:
        MemoryFileSystem().pipe_file(f"{root}/{name}", b"x" * len(name))
    for name, content in tables.items():
        MemoryFileSystem().pipe_file(f"{root}/{name}.csv", content.encode())
    return f"memory://{root}"


def refusing(call: Callable[..., Any], refused: str) -> Callable[..., Any]:
    """A file system's method that is not permitted where one of its arguments is, or ends with,
    `refused`.
    """

    def permitted(*args: Any, **kwargs: Any) -> Any:
        if any(
            isinstance(given, str) and given.endswith(refused)
            for given in (*args, *kwargs.values())
        ):
            raise PermissionError("Access Denied")
        return call(*args, **kwargs)

    return permitted


@pytest.mark.parametrize("source", ["", "/closed", "/*", "/*/*.wav", "/**/*.wav"])
def test_a_remote_folder_that_cannot_be_listed_stops_the_listing(
    monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    root = in_memory("a.wav", "closed/b.wav", "open/c.wav")
    assert {"b.wav"} <= set(fates(listed(root + source)))
    monkeypatch.setattr(MemoryFileSystem, "ls", refusing(MemoryFileSystem.ls, "/closed"))
    with pytest.raises(
        PipelineError, match=r"cannot be reached or used \(PermissionError: Access Denied\)"
    ):
        listed(root + source)


def test_a_remote_folder_that_goes_away_meanwhile_stops_the_listing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = in_memory("a.wav", "gone/b.wav")
    whole = MemoryFileSystem.ls

    def ls(fs: MemoryFileSystem, path: str, **kwargs: Any) -> Any:
        found = whole(fs, path, **kwargs)
        if any(info["name"].endswith("/gone") for info in found):
            fs.rm(f"{path}/gone", recursive=True)
        return found

    monkeypatch.setattr(MemoryFileSystem, "ls", ls)
    with pytest.raises(
        PipelineError, match="/gone does not exist, or went away while it was listed"
    ):
        listed(root)


def test_a_remote_table_that_breaks_off_stops_the_listing_and_is_not_taken_for_a_damaged_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError("connection reset")

    root = in_memory("a.wav", songs="uri\na.wav\n")
    monkeypatch.setattr(MemoryFileSystem, "open", lambda *_: Broken())
    with pytest.raises(PipelineError, match="ConnectionResetError"):
        listed(f"{root}/songs.csv")


def test_remote_globs_use_the_tables_they_match_and_enter_the_folders_as_local_ones(
    tmp_path: Path,
) -> None:
    names = ("a.wav", "album/b.wav", "album/notes.txt", "other/c.wav")
    table = "uri,caption\na.wav,Hello.\n"
    root = in_memory(*names, about=table, atlas="uri\nother/c.wav\n", **{"album/within": table})
    for path in MemoryFileSystem().find(root):
        local = tmp_path / path.removeprefix(f"{root.removeprefix('memory://')}/")
        local.parent.mkdir(exist_ok=True)
        local.write_bytes(MemoryFileSystem().cat_file(path))
    for pattern, expected in {
        "*.csv": {"about.csv#2": "", "atlas.csv#2": ""},
        "a*": {
            "a.wav": "", "about.csv#2": "", "atlas.csv#2": "",
            "album/b.wav": "", "album/notes.txt": "not_audio", "album/within.csv": "not_audio",
        },
        "*/?.wav": {"album/b.wav": "", "other/c.wav": ""},
        "[ao]*/*.wav": {"album/b.wav": "", "other/c.wav": ""},
        "**/c.wav": {"other/c.wav": ""},
    }.items():  # fmt: skip
        for folder in (root, str(tmp_path)):
            assert {
                row.row.removeprefix(f"{folder}/"): row.code
                for row in listed(f"{folder}/{pattern}")
            } == expected, (folder, pattern)
    assert fates(listed(root))["about.csv"] == "not_audio"
    with pytest.raises(PipelineError, match="does not exist"):
        listed(f"{root}/none*.wav")


def test_what_is_remembered_of_remote_folders_is_bounded_and_larger_folders_are_asked_for_singly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_folders, "_MOST_NAMES", 5)
    root = in_memory(
        "few/1.wav",
        "few/22.wav",
        "some/1.wav",
        "some/22.wav",
        "some/333.wav",
        *(f"many/{number}.wav" for number in range(6)),
    )
    requested: list[str] = []
    whole = MemoryFileSystem.ls

    def noted(fs: MemoryFileSystem, path: str, **given: Any) -> Any:
        requested.append(path.rpartition("/")[2])
        return whole(fs, path, **given)

    monkeypatch.setattr(MemoryFileSystem, "ls", noted)
    folders = Folders()
    names = ["few/1.wav", "few/22.wav", "many/0.wav", "some/333.wav", "many/5.wav", "few/1.wav"]
    assert [folders.facts(f"{root}/{name}").size for name in names] == [len(name) for name in names]
    # few had to go for some, and many is known to be too large
    assert requested == ["few", "many", "some", "few"]
    with pytest.raises(FileNotFoundError):
        folders.facts(f"{root}/many/none.wav")
    with pytest.raises(KeyError):
        folders.facts(f"{root}/few/none.wav")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Prefixes that S3 is asked to list, as it is asked."""
    requested: list[str] = []
    whole = S3FileSystem._call_s3

    async def call(fs: S3FileSystem, method: str, *args: Any, **kwargs: Any) -> Any:
        if method.startswith("list_objects"):
            requested.append(kwargs["Prefix"])
        return await whole(fs, method, *args, **kwargs)

    monkeypatch.setattr(S3FileSystem, "_call_s3", call)
    monkeypatch.setattr(
        S3FileSystem,
        "call_s3",
        lambda fs, *args, **given: fsspec.asyn.sync(fs.loop, call, fs, *args, **given),
    )
    return requested


def test_a_large_folder_on_s3_is_listed_a_page_at_a_time(
    behind: Any, bucket: str, requests: list[str]
) -> None:
    names = sorted(f"{number}.wav" for number in range(250))  # the server gives 100 at a time
    for name in names:
        behind.put_object(Bucket=bucket, Key=f"music/{name}", Body=b"x" * len(name))
    rows = list_inputs([f"s3://{bucket}/music"], RECIPE)
    first = next(rows)
    assert requests == ["music/", "music/"]  # is it a folder, and its first page
    assert [(row.row.rpartition("/")[2], row.size) for row in (first, *rows)] == [
        (name, len(name)) for name in names
    ]
    assert requests == ["music/"] * 4


def test_folders_on_s3_are_walked_whatever_their_names(
    behind: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [
        "music",
        "music/a.wav",
        "music/sub/b.wav",
        "music//c.wav",
        "music/sub/",
        "music.wav",
        "other/d.wav",
    ]
    for key in keys:
        behind.put_object(Bucket=bucket, Key=key, Body=b"xy")
    behind.put_object(
        Bucket=bucket, Key="songs.csv", Body=f"uri\ns3://{bucket}/music/a.wav\n".encode()
    )

    def found(source: str) -> dict[str, str]:
        root = f"s3://{bucket}/"
        return {row.row.removeprefix(root): row.code for row in listed(root + source)}

    below = {
        "music/a.wav": "",
        "music/sub/b.wav": "",
        "music//c.wav": "",
        "music/sub/": "not_audio",
    }
    assert found("music") == below
    assert found("") == {
        **below,
        "music": "not_audio",
        "music.wav": "",
        "other/d.wav": "",
        "songs.csv": "not_audio",
    }
    assert found("*.csv") == {"songs.csv#2": ""}
    assert found("m*/*.wav") == {"music/a.wav": ""}
    assert found("music.wav") == {"music.wav": ""}
    for missing in (
        f"s3://{bucket}/none",
        f"s3://{bucket}/none*",
        "s3://no-such-bucket-here/music",
        "s3://no-such-bucket-here",
    ):
        with pytest.raises(PipelineError, match="does not exist"):
            listed(missing)
    monkeypatch.setattr(S3FileSystem, "call_s3", refusing(S3FileSystem.call_s3, "music/sub/"))
    with pytest.raises(PipelineError, match="PermissionError"):
        listed(f"s3://{bucket}/music")


def test_the_same_folder_is_listed_the_same_in_another_process(tmp_path: Path) -> None:
    for name in HOSTILE_NAMES:
        (tmp_path / name).touch()
    program = (
        "import sys; from pipelines.inputs.listing import list_inputs; "
        "from schemas.recipe import IngestRecipe\n"
    )
    program += "for row in list_inputs(sys.argv[1:], IngestRecipe()): print(repr(row.row))"
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.splitlines() == [repr(row.row) for row in listed(tmp_path)]
