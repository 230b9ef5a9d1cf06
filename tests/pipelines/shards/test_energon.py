"""A folder for Energon: places of samples and members as its own tool finds them.

That tool's files and its loader's samples were compared with ours by hand, with megatron-energon
7.4.1: equal offsets, equal rows of `index.sqlite`, every sample once.
"""

import json
import sqlite3
import struct
import tarfile
from pathlib import Path

import pytest

from pipelines.errors import PipelineError
from pipelines.shards.energon import EnergonShard, export_energon
from pipelines.shards.find import ShardProblem, find_shards
from tests.pipelines.shards.shard_samples import foreign, our_sample, ours, write_shard


def exported(target: Path, to: Path, *, force: bool = False) -> list[EnergonShard | ShardProblem]:
    return list(export_energon(find_shards(str(target)), str(to), force=force))


def test_indexes_say_where_samples_and_members_stand(tmp_path: Path) -> None:
    folder, to = tmp_path / "shards", tmp_path / "energon"
    write_shard(folder / "train-00000.tar", ours(our_sample(), our_sample("pu1")))
    write_shard(folder / "validation-00000.tar", foreign("0", "1", "2"))
    write_shard(folder / "test-00000.tar", [("0.json", b"{}")])  # no audio
    given = exported(folder, to)
    problems = [(one.shard, one.code) for one in given if isinstance(one, ShardProblem)]
    assert problems == [("test-00000.tar", "no_audio")]
    meta = to / ".nv-meta"
    assert json.loads((meta / ".info.json").read_text())["shard_counts"] == {
        "train-00000.tar": 2,
        "validation-00000.tar": 3,
    }
    assert json.loads((meta / "split.yaml").read_text())["split_parts"] == {
        "train": ["train-00000.tar"],
        "val": ["validation-00000.tar"],
        "test": [],
    }
    database = sqlite3.connect(meta / "index.sqlite")
    for number, name in enumerate(("train-00000.tar", "validation-00000.tar")):
        with tarfile.open(to / name) as tar:
            members = tar.getmembers()
            end = tar.offset
        idx = (to / f"{name}.idx").read_bytes()
        offsets = struct.unpack(f"<{len(idx) // 8}Q", idx)
        firsts = {member.name.split(".")[0]: member.offset for member in reversed(members)}
        assert list(offsets) == [*sorted(firsts.values()), end]
        query = "select sample_key, byte_offset, byte_size from samples where tar_file_id = ?"
        assert {(key, at) for key, at, _ in database.execute(query, [number])} == {*firsts.items()}
        query = "select part_name, content_byte_offset, content_byte_size from sample_parts where tar_file_id = ?"  # noqa: E501
        assert sorted(database.execute(query, [number])) == sorted(
            (member.name.partition(".")[2], member.offset_data, member.size) for member in members
        )
    database.close()


def test_it_is_replaced_where_nobody_changed_it_and_gives_the_same_bytes(tmp_path: Path) -> None:
    folder, to = tmp_path / "shards", tmp_path / "energon"
    write_shard(folder / "train-00000.tar", ours(our_sample()))
    exported(folder, to)
    before = {file.name: file.read_bytes() for file in to.rglob("*") if file.is_file()}
    with pytest.raises(PipelineError, match="--force"):
        exported(folder, to)
    exported(folder, to, force=True)
    assert {file.name: file.read_bytes() for file in to.rglob("*") if file.is_file()} == before
    (to / "train-00000.tar").unlink()
    (to / "train-00000.tar").symlink_to("/etc/hosts")
    with pytest.raises(PipelineError, match="changed or added"):
        exported(folder, to, force=True)


def test_a_key_in_two_shards_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    for number in range(2):
        write_shard(folder / f"train-0000{number}.tar", ours(our_sample()))
    with pytest.raises(PipelineError, match="takes none twice"):
        exported(folder, tmp_path / "energon")
    assert not (tmp_path / "energon").exists()
