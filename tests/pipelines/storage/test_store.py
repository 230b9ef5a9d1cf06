"""Files are published whole or not at all, on local folders and elsewhere, and records always as
the same bytes.
"""

import os
import pickle
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from s3fs import S3FileSystem

import pipelines.storage.remote
from pipelines.errors import PipelineError
from pipelines.storage.store import Store
from schemas.controls import AudioControls
from schemas.corpus import Augmented, Change, InputRow, Source
from tests.support.servers.object_store import PAGE

pytest_plugins = ["tests.support.servers.object_store"]
KEY = "00112233445566aa-0-10000"


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "local":
        yield Store(str(tmp_path / "out"))
        return
    if request.param == "s3":
        yield Store(f"s3://{request.getfixturevalue('bucket')}/out")
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


def varied(index: int) -> Augmented:
    controls = AudioControls(
        dynamics_db=(-3.0 * index,), melody=(index % 12,), loudness_lufs=-10, onsets_per_s=0,
        music_share=1, speech_share=0, noise_share=0, silence_share=0,
    )  # fmt: skip
    return Augmented(
        sample_key=f"{KEY}-pu{index + 1}",
        clip_key=KEY,
        change=Change(speed=1 + index / 7),
        duration_s=10,
        controls=controls,
        offset=index,
        bytes=1,
    )


def test_what_is_written_is_read_with_its_size_and_digest(store: Store) -> None:
    published = store.write_bytes("a/b.bin", b"content")
    assert (published.name, published.bytes, published.sha256) == (
        "a/b.bin",
        7,
        sha256(b"content").hexdigest(),
    )
    assert (
        store.read_bytes("a/b.bin"),
        store.size("a/b.bin"),
        store.exists("a/b.bin"),
        store.names("a"),
    ) == (
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
    assert [path.rsplit("/", 1)[-1] for path in store.fs.ls(store.path("a"), detail=False)] == [
        "b.bin"
    ]


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
    records = [varied(index) for index in range(5)]
    first = store.write_records("t/one.parquet", Augmented, records)
    second = store.write_records("t/two.parquet", Augmented, iter(records))
    assert store.read_bytes("t/one.parquet") == store.read_bytes("t/two.parquet")
    assert first.sha256 == second.sha256
    assert store.read_records("t/one.parquet", Augmented) == records


def test_a_table_without_rows_keeps_its_columns_and_other_records_give_other_bytes(
    store: Store,
) -> None:
    none = store.write_records("t/none.parquet", Augmented, [])
    assert store.read_records("t/none.parquet", Augmented) == []
    assert none.sha256 != store.write_records("t/one.parquet", Augmented, [varied(0)]).sha256


def test_hostile_text_in_records_survives(store: Store) -> None:
    row = InputRow(
        row="a\n\x1b[31m☃'\"",
        source=Source(uri="-x\t.wav", metadata='{"♭": 1}'),
        captions=("", "two\nlines"),
        start_s=0.1 + 0.2,
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
    assert [name.split("-", 1)[1].rsplit("-", 1)[0] for name in left[:2]] == [
        "train-00002.parquet",
        "train-g0001-00001.parquet",
    ]
    assert left[2:] == ["train-00001.parquet"]
    store.sweep("nowhere", "train-00001")


_KILLED: list[object] = []  # kept, so that no garbage collector ends their blocks


@pytest.fixture
def remote(bucket: str) -> Store:
    return Store(f"s3://{bucket}/out")


def test_what_another_process_writes_and_deletes_is_seen_at_once(
    remote: Store, bucket: str, behind: Any
) -> None:
    remote.write_bytes("a/ours", b"1")
    assert (remote.names("a"), remote.exists("a/theirs"), remote.size("a/theirs")) == (
        ["ours"],
        False,
        None,
    )
    behind.put_object(Bucket=bucket, Key="out/a/theirs", Body=b"22")
    assert (remote.names("a"), remote.exists("a/theirs"), remote.size("a/theirs")) == (
        ["ours", "theirs"],
        True,
        2,
    )
    behind.put_object(Bucket=bucket, Key="out/a/theirs", Body=b"333")
    assert (remote.size("a/theirs"), remote.read_bytes("a/theirs")) == (3, b"333")
    behind.delete_object(Bucket=bucket, Key="out/a/theirs")
    assert (remote.names("a"), remote.exists("a/theirs"), remote.size("a/theirs")) == (
        ["ours"],
        False,
        None,
    )
    behind.delete_object(Bucket=bucket, Key="out/a/ours")
    assert remote.names("a") == []


def test_a_folder_of_more_files_than_one_answer_holds_is_listed_whole(
    remote: Store, bucket: str, behind: Any
) -> None:
    expected = [f"train-{number:05d}.json" for number in range(2 * PAGE + 1)]
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda name: behind.put_object(Bucket=bucket, Key=f"out/shards/{name}", Body=b""),
                expected,
            )
        )
    assert remote.names("shards") == expected


def test_a_folder_on_an_object_store_is_its_files_and_no_name_like_it(
    remote: Store, bucket: str, behind: Any
) -> None:
    # the first is what a web console makes for an empty folder
    for key in ("out/a/", "out/a/x", "out/ab/y", "out/file"):
        behind.put_object(Bucket=bucket, Key=key, Body=b"")
    assert (remote.names("a"), remote.names("file"), remote.names("nowhere")) == (["x"], [], [])


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    part = 5 << 20  # the least that S3 allows
    monkeypatch.setattr(pipelines.storage.remote, "PART", part)
    return part


def write_parts(store: Store, parts: int, part: int) -> bytes:
    content = bytes(range(256)) * (part * parts // 256) + b"end"
    with store.writer("big.tar") as out:
        for start in range(0, len(content), 1 << 20):
            out.write(content[start : start + (1 << 20)])
    return content


def test_a_large_file_goes_up_in_parts_and_few_of_them_are_in_memory(
    remote: Store, small_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies: list[int] = []
    under_way: list[int] = [0, 0]
    call = S3FileSystem._call_s3

    async def counted(self: Any, method: str, *arguments: Any, **facts: Any) -> Any:
        size = len(facts.get("Body", b""))
        bodies.append(size)
        under_way[0] += size
        under_way[1] = max(under_way)
        try:
            return await call(self, method, *arguments, **facts)
        finally:
            under_way[0] -= size

    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    content = write_parts(remote, 6, small_parts)
    assert (max(bodies), sum(bodies), under_way[1]) == (small_parts, len(content), 4 * small_parts)
    assert sha256(remote.read_bytes("big.tar")).digest() == sha256(content).digest()


def test_an_upload_that_fails_at_its_last_part_leaves_the_old_file_and_no_parts(
    remote: Store, bucket: str, behind: Any, small_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.write_bytes("big.tar", b"old")
    call = S3FileSystem._call_s3

    async def broken(self: Any, method: str, *arguments: Any, **facts: Any) -> Any:
        if facts.get("PartNumber") == 3:
            raise _BrokenError("the line is cut")
        return await call(self, method, *arguments, **facts)

    monkeypatch.setattr(S3FileSystem, "_call_s3", broken)
    with pytest.raises(
        PipelineError,
        match=rf"s3://{bucket}/out/big\.tar cannot be reached .*the line is cut.*check the URL",
    ):
        write_parts(remote, 2, small_parts)
    assert remote.read_bytes("big.tar") == b"old"
    assert "Uploads" not in behind.list_multipart_uploads(Bucket=bucket)


def test_parts_that_a_killed_process_left_are_no_file(
    remote: Store, bucket: str, behind: Any
) -> None:
    upload = behind.create_multipart_upload(Bucket=bucket, Key="out/a/big.tar")
    behind.upload_part(
        Bucket=bucket, Key="out/a/big.tar", UploadId=upload["UploadId"], PartNumber=1, Body=b"x"
    )
    assert (remote.exists("a/big.tar"), remote.size("a/big.tar"), remote.names("a")) == (
        False,
        None,
        [],
    )


def test_a_bucket_that_is_not_there_is_named_and_not_made(object_store: str, behind: Any) -> None:
    store = Store("s3://no-such-bucket/out")
    assert (store.exists("a"), store.names("a")) == (False, [])
    for content in (b"small", bytes(1 << 21)):
        with pytest.raises(
            PipelineError,
            match=(
                r"s3://no-such-bucket/out/a cannot be written: "
                r".*bucket does not exist; .*create the bucket"
            ),
        ):
            store.write_bytes("a", content)
    assert "no-such-bucket" not in [row["Name"] for row in behind.list_buckets()["Buckets"]]


@pytest.fixture
def fresh_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    S3FileSystem.clear_instance_cache()
    yield monkeypatch
    S3FileSystem.clear_instance_cache()


def test_missing_credentials_are_told_in_one_line(
    bucket: str, fresh_clients: pytest.MonkeyPatch
) -> None:
    fresh_clients.delenv("AWS_ACCESS_KEY_ID")
    fresh_clients.delenv("AWS_SECRET_ACCESS_KEY")
    store = Store(f"s3://{bucket}/out")
    for ask in (store.exists, store.size, store.names, store.delete, store.read_bytes, store.open):
        with pytest.raises(
            PipelineError,
            match=(
                rf"s3://{bucket}/out/a cannot be "
                r".*NoCredentialsError.*check the URL, the credentials"
            ),
        ):
            ask("a")
    with pytest.raises(PipelineError, match="NoCredentialsError"):
        store.write_bytes("a", b"x")


def test_a_server_that_cannot_be_reached_is_told_in_one_line(
    bucket: str, fresh_clients: pytest.MonkeyPatch
) -> None:
    fresh_clients.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    fresh_clients.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(
        PipelineError, match=r"s3://.*/a cannot be reached .*127\.0\.0\.1:1.*the network"
    ):
        Store(f"s3://{bucket}/out").read_bytes("a")


def test_a_file_that_is_replaced_while_it_is_read_is_told_by_its_url(remote: Store) -> None:
    remote.write_bytes("a", bytes(40 << 20))
    with remote.open("a") as opened:
        assert opened.read(1) == b"\0"
        remote.write_bytes("a", b"other")
        opened.seek(39 << 20)
        with pytest.raises(PipelineError, match=r"s3://.*/out/a cannot be reached"):
            opened.read()


def test_two_readers_of_one_file_do_not_move_each_other(store: Store) -> None:
    store.write_bytes("a", b"content")
    with store.open("a") as one, store.open("a") as other:
        assert (one.read(3), other.read(3), one.read()) == (b"con", b"con", b"tent")


def test_a_store_goes_through_pickle_as_its_url(store: Store) -> None:
    store.write_bytes("a", b"x")
    assert b"/out" in pickle.dumps(store) or b"memory" in pickle.dumps(store)
    assert pickle.loads(pickle.dumps(store)).read_bytes("a") == b"x"


def test_a_forked_process_reads_and_writes_with_the_store_of_its_parent(remote: Store) -> None:
    remote.write_bytes("a", b"parent's")
    child = os.fork()
    if child == 0:
        try:
            remote.write_bytes("b", b"the child has read the " + remote.read_bytes("a"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert remote.read_bytes("b") == b"the child has read the parent's"


def test_threads_share_a_store(store: Store) -> None:
    def write_and_read(number: int) -> bytes:
        store.write_bytes(f"a/{number}", bytes([number]) * 10_000)
        return store.read_bytes(f"a/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write_and_read, range(40))) == [
            bytes([number]) * 10_000 for number in range(40)
        ]
    assert len(store.names("a")) == 40


def test_the_root_of_the_disk_is_a_folder_like_others() -> None:
    assert Store("/").path("tmp/x") == "/tmp/x"
