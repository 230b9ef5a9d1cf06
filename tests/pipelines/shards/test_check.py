"""A whole build has no problem, and each kind of damage is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.build.tables import LISTING_PLAN
from pipelines.build.versions import publish_version
from pipelines.errors import PipelineError
from pipelines.shards.check import Checked, check
from pipelines.shards.find import ShardProblem, find_shards
from pipelines.storage.store import Store
from pipelines.storage.tar import sample_offsets
from schemas.build import ListingPlan
from schemas.identity import Split
from schemas.recipe import Recipe
from schemas.shard import ShardIndex
from tests.pipelines.shards.shard_samples import (
    KEY,
    flac,
    foreign,
    our_sample,
    ours,
    write_build,
    write_shard,
)
from tests.support.small_dataset import listed_shard, small_dataset
from training.data.index import index_corpus
from training.errors import TrainingError
from training.run.corpus_survey import corpus_state


def problems_of(target: Path) -> list[tuple[str, str, str]]:
    return [
        (found.key, found.code, found.message)
        for found in check(find_shards(str(target)))
        if isinstance(found, ShardProblem)
    ]


def test_a_whole_build_is_counted_and_has_no_problem(tmp_path: Path) -> None:
    assert list(check(find_shards(str(write_build(tmp_path, our_sample(), our_sample("s1")))))) == [
        Checked(1, 2, 4.0)
    ]


def test_a_dataset_file_that_is_not_its_last_version_s_is_a_problem(tmp_path: Path) -> None:
    file, store = write_build(tmp_path, our_sample()) / "dataset.json", Store(str(tmp_path))
    LISTING_PLAN.write(store, ListingPlan(slices={}))
    index = ShardIndex.model_validate_json(store.read_bytes("shards/train-00000.json"))
    stated = listed_shard(0, store.sha256("shards/train-00000.tar"))
    dataset = small_dataset(shards=[{**stated, "count": index.count, "bytes": index.bytes}])
    store.write_json("dataset.json", dataset.as_json())
    publish_version(store, dataset, Recipe())
    assert problems_of(tmp_path) == []
    file.write_text(file.read_text().replace('"in": 1', '"in": 9'))
    assert problems_of(tmp_path) == [
        ("", "version", "is not the one that the build's version 1 was published with")
    ]


def test_a_changed_byte_breaks_the_checksum(tmp_path: Path) -> None:
    shard = write_build(tmp_path, our_sample()) / "shards/train-00000.tar"
    content = bytearray(shard.read_bytes())
    content[-1] = 1  # after the end of the archive
    shard.write_bytes(content)
    said = "its SHA-256 is not the one in train-00000.json: the file was changed or damaged"
    assert problems_of(tmp_path) == [("", "checksum", said)]


def test_a_sample_that_the_index_has_and_the_shard_has_not_is_named(tmp_path: Path) -> None:
    index = write_build(tmp_path, our_sample()) / "shards/train-00000.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "keys": [KEY, "gone"]}))
    said = "train-00000.json lists 2 keys, 1 samples were read; first missing: gone"
    assert problems_of(tmp_path) == [("", "index_keys", said)]


def test_an_index_that_says_otherwise_where_samples_begin_is_a_problem(tmp_path: Path) -> None:
    index = write_build(tmp_path, our_sample(), our_sample("s1")) / "shards/train-00000.json"
    stated = json.loads(index.read_text())
    with (tmp_path / "shards/train-00000.tar").open("rb") as shard:
        offsets = sample_offsets(shard)
    index.write_text(json.dumps({**stated, "offsets": offsets}))
    assert problems_of(tmp_path) == []
    index.write_text(json.dumps({**stated, "offsets": [0, offsets[1] + 512, offsets[2]]}))
    assert [code for _, code, _ in problems_of(tmp_path)] == ["index_offsets"]


@pytest.mark.parametrize(
    ("field", "value", "code", "message"),
    [
        (
            "sha256",
            "0" * 64,
            "checksum",
            "its SHA-256 is not the one in train-00000.json: the file was changed or damaged",
        ),
        (
            "bytes",
            1 << 20,
            "index_bytes",
            "train-00000.json says 1048576 bytes, the file has {bytes}",
        ),
        ("count", 3, "index_count", "train-00000.json says 3 samples, 2 were read"),
        (
            "duration_s",
            4.5,
            "index_duration",
            "train-00000.json says 4.5 s, its samples last 4.0 s together",
        ),
    ],
)
def test_an_index_is_compared_in_every_field(
    tmp_path: Path, field: str, value: object, code: str, message: str
) -> None:
    index = write_build(tmp_path, our_sample(), our_sample("s1")) / "shards/train-00000.json"
    stated = json.loads(index.read_text())
    index.write_text(json.dumps({**stated, field: value}))
    assert problems_of(tmp_path) == [("", code, message.format(**stated))]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("offsets", "text", "offsets: Input should be a valid tuple"),
        ("offsets", [], "offsets: 0 of them for 1 samples"),
        ("offsets", [[0], 512], "offsets.0: Input should be a valid integer"),
        ("offsets", [0, 10**30], "a whole number of 31 signs"),
        ("offsets", [-512, 512], "offsets must ascend from 0 on"),
        ("offsets", [512, 512], "offsets must ascend from 0 on"),
        ("offsets", [0, 1 << 40], "offsets must ascend from 0 on"),
        ("offsets", [0, 100], "whole blocks of 512 bytes"),
        ("offsets", float("nan"), "NaN is not a JSON number"),
        ("count", -1, "count: Input should be greater than or equal to 0"),
        ("sha256", "x", "sha256: String should match"),
        ("keys", {"a": 1}, "keys: Input should be a valid tuple"),
    ],
)
def test_an_index_that_contradicts_itself_is_named_in_a_line_and_training_ends_with_it(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    index = write_build(tmp_path, our_sample()) / "shards/train-00000.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), field: value}))
    [(key, code, message)] = problems_of(tmp_path)
    assert (key, code) == ("", "bad_index")
    assert said in message
    with pytest.raises(TrainingError, match="the index beside it"):
        index_corpus(str(tmp_path), Split.TRAIN)


def test_what_dataset_json_says_of_a_shard_is_compared_with_it(tmp_path: Path) -> None:
    document = write_build(tmp_path, our_sample()) / "dataset.json"
    size = (tmp_path / "shards/train-00000.tar").stat().st_size
    row = {
        "file": "shards/train-00000.tar",
        "split": "test",
        "count": 3,
        "bytes": size,
        "sha256": "0" * 64,
    }
    document.write_text(json.dumps({"shards": [row]}))
    [(key, code, message)] = problems_of(tmp_path)
    assert (key, code) == ("", "dataset")
    assert message.startswith(
        "dataset.json says otherwise of it: split test, found train; count 3, found 1; sha256 0000"
    )


@pytest.mark.parametrize(
    "shards", [5, [5], [{"file": 5}], [{"file": "shards/a.tar", "count": "many"}], None]
)
def test_a_dataset_json_that_lists_no_shards_is_said_in_a_line(
    tmp_path: Path, shards: object
) -> None:
    (write_build(tmp_path, our_sample()) / "dataset.json").write_text(
        json.dumps({"shards": shards})
    )
    with pytest.raises(PipelineError, match=r"name the folder .*/shards instead"):
        find_shards(str(tmp_path))


@pytest.mark.parametrize(
    "fields",
    [
        {"licences": []},
        {"licences": {"sources": "text"}},
        {"latents": {"name": 5}},
        {"latents": "rubbish"},
        {"name": 5},
    ],
)
def test_training_says_in_a_line_what_is_wrong_with_a_dataset_json(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    document = write_build(tmp_path, our_sample()) / "dataset.json"
    document.write_text(json.dumps({**json.loads(document.read_text()), **fields}))
    with pytest.raises(TrainingError, match=r"dataset\.json cannot be"):
        corpus_state(str(tmp_path))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"duration_s": 1.5}, ("audio_length", "its audio lasts 2.000 s, its JSON says 1.500 s")),
        (
            {"rate_hz": 16000},
            ("audio_form", "its audio has 8000 Hz, 1 channels; its JSON says 16000 Hz, 1 channels"),
        ),
        ({"split": "test"}, ("split", "its JSON says test, the shard's name train")),
    ],
)
def test_json_that_does_not_fit_its_audio_or_shard_is_a_problem(
    tmp_path: Path, fields: dict[str, Any], problem: tuple[str, str]
) -> None:
    assert problems_of(write_build(tmp_path, our_sample(**fields))) == [(KEY, *problem)]


def test_json_of_another_sample_breaks_the_contract(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "a.tar",
        [("0.flac", flac()), ("0.json", our_sample().model_dump_json().encode())],
    )
    assert problems_of(path) == [("0", "contract", f"breaks the contract: its JSON is of {KEY}")]


def test_a_foreign_sample_in_a_shard_of_ours_breaks_the_contract(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "train-00000.tar", foreign("0"))
    assert [code for _, code, _ in problems_of(path)] == ["contract"]


def test_audio_that_does_not_decode_is_a_problem_and_the_rest_is_checked(tmp_path: Path) -> None:
    cut = flac(1.0)[:-200]
    path = write_shard(
        tmp_path / "a.tar",
        [
            ("0.flac", b"no sound"),
            ("0.json", b"{}"),
            ("1.flac", cut),
            ("1.json", b"{}"),
            *foreign("2"),
        ],
    )
    found = problems_of(path)
    assert [(key, code) for key, code, _ in found] == [("0", "undecodable"), ("1", "undecodable")]
    assert found[0][2] == "its audio cannot be used: libsndfile: Format not recognised."


def test_a_key_in_two_shards_is_a_problem(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", foreign("0", "1"))
    write_shard(tmp_path / "b.tar", foreign("1", "2"))
    assert problems_of(tmp_path) == [("1", "repeated_key", "stands in a.tar too")]


def test_one_sample_is_not_two_shards(tmp_path: Path) -> None:
    assert problems_of(write_shard(tmp_path / "train-00000.tar", ours(our_sample()))) == []
