import json
import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest

from schemas.identity import Split
from tests.training.data.shards import sample_of, write_shard
from training.data.examples import members_of
from training.data.index import CorpusIndex, Range, ShardOffsets, index_corpus, read_ranges
from training.errors import TrainingError


def test_a_range_of_a_shard_is_one_sample_whole(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-00000.tar", range(3))
    write_shard(tmp_path / "train-00001.tar", range(3, 5))
    corpus = index_corpus(str(tmp_path), Split.TRAIN)
    assert len(corpus) == 5
    for number, content in enumerate(read_ranges([corpus.range_of(number) for number in range(5)])):
        assert isinstance(content, bytes)
        members = members_of(content)
        assert sorted(members) == ["flac", "json", "latent.npy"]
        assert json.loads(members["json"])["key"] == sample_of(number).key


def test_offsets_of_an_index_are_those_that_headers_give(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "train-00000.tar", range(3))
    scanned = index_corpus(str(tmp_path), Split.TRAIN).shards[0].offsets
    stated = {
        "sha256": "0" * 64,
        "bytes": 2048,
        "count": 2,
        "keys": ["a", "b"],
        "duration_s": 4.0,
        "offsets": [0, 512, 1024],
    }
    (tmp_path / "train-00000.json").write_text(json.dumps(stated))
    found = index_corpus(str(tmp_path), Split.TRAIN).shards[0]
    assert found.samples == 2
    assert np.array_equal(found.offsets, [0, 512, 1024])
    assert scanned[0] == 0
    assert scanned[-1] == shard.stat().st_size - 1024  # the two blocks that end a tar


def test_splits_are_told_apart_by_name_and_foreign_names_are_train(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-00000.tar", range(3))
    write_shard(tmp_path / "validation-00000.tar", range(3, 4))
    write_shard(tmp_path / "foreign.tar", range(4, 6))
    assert len(index_corpus(str(tmp_path), Split.TRAIN)) == 5
    assert len(index_corpus(str(tmp_path), Split.VALIDATION)) == 1
    with pytest.raises(TrainingError, match="no samples of split test"):
        index_corpus(str(tmp_path), Split.TEST)


def test_shards_elsewhere_are_read_by_their_urls(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-00000.tar", range(2))
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/elsewhere/train-00000.tar", (tmp_path / "train-00000.tar").read_bytes())
    near, far = (
        index_corpus(str(tmp_path), Split.TRAIN),
        index_corpus("memory://elsewhere", Split.TRAIN),
    )
    ranges = [far.range_of(1), near.range_of(0), far.range_of(0), near.range_of(1)]
    one, two, three, four = read_ranges(ranges)
    assert (one, three) == (four, two)


def test_a_range_that_cannot_be_read_is_its_error_and_costs_no_other(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "train-00000.tar", range(1))
    good, bad = read_ranges(
        [
            index_corpus(str(tmp_path), Split.TRAIN).range_of(0),
            Range(str(tmp_path / "gone.tar"), 0, 512),
        ]
    )
    assert good == shard.read_bytes()[:-1024]  # all but the two blocks that end a tar
    assert isinstance(bad, FileNotFoundError)
    assert bad.filename == str(tmp_path / "gone.tar")


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "train-00000.tar", range(2))
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(TrainingError, match=r"train-00000\.tar ends at byte 5000"):
        index_corpus(str(tmp_path), Split.TRAIN)


def test_offsets_kept_in_a_file_are_those_in_memory_and_go_to_others_by_its_name(
    tmp_path: Path,
) -> None:
    write_shard(tmp_path / "train-00000.tar", range(3))
    write_shard(tmp_path / "train-00001.tar", range(3, 5))
    file = tmp_path / "run" / "train.offsets"
    plain = index_corpus(str(tmp_path), Split.TRAIN)
    mapped = index_corpus(str(tmp_path), Split.TRAIN, str(file))
    assert file.stat().st_size == 8 * (3 + 1 + 2 + 1)
    told = pickle.dumps(mapped)
    for index in (mapped, pickle.loads(told)):
        assert [index.range_of(one) for one in range(5)] == [
            plain.range_of(one) for one in range(5)
        ]
        assert [one.offsets.tolist() for one in index.shards] == [
            one.offsets.tolist() for one in plain.shards
        ]
    many = np.arange(100_000, dtype=np.int64)
    whole = CorpusIndex([ShardOffsets("train.tar", many)], str(file))
    assert len(pickle.dumps(whole)) < 1000
    assert mapped.range_of(4) == plain.range_of(4)  # mapped before, it keeps what it had


def test_a_split_without_samples_is_told_with_a_file_too(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-00000.tar", range(3))
    with pytest.raises(TrainingError, match="no samples of split test"):
        index_corpus(str(tmp_path), Split.TEST, str(tmp_path / "test.offsets"))
