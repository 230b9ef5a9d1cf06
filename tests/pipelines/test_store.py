"""Files are published whole or not at all, on local folders and elsewhere, and records always as the same bytes."""

import os
import uuid
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import fsspec
import pytest

from pipelines.errors import PipelineError
from pipelines.store import Store
from schemas.corpus import Change, InputRow, Source, Varied

KEY = "00112233445566aa-0-10000"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield Store(str(tmp_path / "out"))
        return
    made = Store(f"memory://{uuid.uuid4().hex}")
    yield made
    memory = fsspec.filesystem("memory")
    if memory.exists(made.root):
        memory.rm(made.root, recursive=True)


class _BrokenError(Exception):
    pass


def fail_midway(store: Store, name: str) -> None:
    def write_half() -> None:
        with store.writer(name) as out:
            out.write(b"half of the new")
            raise _BrokenError

    with pytest.raises(_BrokenError):
        write_half()


def varied(place: int) -> Varied:
    return Varied(sample_key=f"{KEY}-pu{place + 1}", clip_key=KEY, change=Change(speed=1 + place / 7), duration_s=10, offset=place, bytes=1)


def test_what_is_written_is_read_with_its_size_and_digest(store: Store) -> None:
    published = store.write_bytes("a/b.bin", b"content")
    assert (published.name, published.bytes, published.sha256) == ("a/b.bin", 7, sha256(b"content").hexdigest())
    assert (store.read_bytes("a/b.bin"), store.size("a/b.bin"), store.exists("a/b.bin"), store.names("a")) == (
        b"content",
        7,
        True,
        ["b.bin"],
    )
    with store.open("a/b.bin") as opened:
        opened.seek(3)
        assert opened.read() == b"tent"


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(store: Store) -> None:
    store.write_bytes("a/b.bin", b"old")
    fail_midway(store, "a/b.bin")
    assert store.read_bytes("a/b.bin") == b"old"
    assert [path.rsplit("/", 1)[-1] for path in store.fs.ls(store.path("a"), detail=False)] == ["b.bin"]


def test_an_error_while_writing_a_first_file_leaves_none(store: Store) -> None:
    fail_midway(store, "a/b.bin")
    assert (store.exists("a/b.bin"), store.size("a/b.bin"), store.names("a")) == (False, None, [])


def test_readers_see_the_old_file_until_the_new_one_is_whole(store: Store) -> None:
    store.write_bytes("a/b.bin", b"old")
    with store.writer("a/b.bin") as out:
        out.write(b"new")
        assert store.read_bytes("a/b.bin") == b"old"
        assert store.names("a") == ["b.bin"]
    assert store.read_bytes("a/b.bin") == b"new"


def test_deleting_what_is_not_there_is_no_error(store: Store) -> None:
    store.delete("a/none")
    store.write_bytes("a/b", b"x")
    store.delete("a/b")
    assert not store.exists("a/b")


def test_the_same_records_give_the_same_bytes_and_come_back_equal(store: Store) -> None:
    records = [varied(place) for place in range(5)]
    first = store.write_records("t/one.parquet", Varied, records)
    second = store.write_records("t/two.parquet", Varied, iter(records))
    assert store.read_bytes("t/one.parquet") == store.read_bytes("t/two.parquet")
    assert first.sha256 == second.sha256
    assert store.read_records("t/one.parquet", Varied) == records


def test_a_table_without_rows_keeps_its_columns_and_other_records_give_other_bytes(store: Store) -> None:
    none = store.write_records("t/none.parquet", Varied, [])
    assert store.read_records("t/none.parquet", Varied) == []
    assert none.sha256 != store.write_records("t/one.parquet", Varied, [varied(0)]).sha256


def test_hostile_text_in_records_survives(store: Store) -> None:
    row = InputRow(
        row="a\n\x1b[31m☃'\"", source=Source(uri="-x\t.wav", metadata='{"♭": 1}'), captions=("", "two\nlines"), start_s=0.1 + 0.2
    )
    store.write_records("t/row.parquet", InputRow, [row])
    assert store.read_records("t/row.parquet", InputRow) == [row]


def test_json_is_sorted_and_a_broken_file_is_named(store: Store) -> None:
    store.write_json("x.json", {"b": 1, "a": "♭"})
    assert store.read_bytes("x.json").decode() == '{\n "a": "♭",\n "b": 1\n}\n'
    assert store.read_json("x.json") == {"a": "♭", "b": 1}
    store.write_bytes("x.json", b'{"a"')
    with pytest.raises(PipelineError, match=r"x\.json is not JSON .*delete it"):
        store.read_json("x.json")
    with pytest.raises(ValueError, match="JSON compliant"):
        store.write_json("x.json", float("nan"))


def test_names_of_a_folder_that_is_not_there_are_none(store: Store) -> None:
    assert store.names("nowhere") == []


def test_sweep_removes_what_a_killed_writer_of_this_bucket_left_and_no_more(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in ("train-00001.parquet", "train-00002.parquet", "train-g0001-00001.parquet"):
        writer = store.writer(f"v/{name}")
        writer.__enter__().write(b"half")  # as a killed process leaves it: the block never ends
        _KILLED.append(writer)
    store.write_bytes("v/train-00001.parquet", b"whole")
    assert len(os.listdir(tmp_path / "v")) == 4
    assert store.names("v") == ["train-00001.parquet"]
    store.sweep("v", "train-00001")
    left = sorted(os.listdir(tmp_path / "v"))
    assert [name.split("-", 1)[1].rsplit("-", 1)[0] for name in left[:2]] == ["train-00002.parquet", "train-g0001-00001.parquet"]
    assert left[2:] == ["train-00001.parquet"]
    store.sweep("nowhere", "train-00001")


_KILLED: list[object] = []  # kept, so that no garbage collector ends their blocks
