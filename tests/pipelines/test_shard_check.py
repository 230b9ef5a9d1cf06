"""A whole build has no problem, and each kind of damage is named."""

import json
from pathlib import Path

import pytest

from pipelines.shard_check import Checked, check
from pipelines.shard_finding import Problem, find_shards
from pipelines.tars import sample_offsets
from tests.pipelines.shard_samples import KEY, flac, foreign, our_sample, ours, write_build, write_shard


def problems_of(target: Path) -> list[tuple[str, str, str]]:
    return [(found.key, found.code, found.message) for found in check(find_shards(str(target))) if isinstance(found, Problem)]


def test_a_whole_build_is_counted_and_has_no_problem(tmp_path: Path) -> None:
    assert list(check(find_shards(str(write_build(tmp_path, our_sample(), our_sample("s1")))))) == [Checked(1, 2, 4.0)]


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
    ("fields", "problem"),
    [
        ({"duration_s": 1.5}, ("audio_length", "its audio lasts 2.000 s, its JSON says 1.500 s")),
        ({"rate_hz": 16000}, ("audio_form", "its audio has 8000 Hz, 1 channels; its JSON says 16000 Hz, 1 channels")),
        ({"split": "test"}, ("split", "its JSON says test, the shard's name train")),
    ],
)
def test_json_that_does_not_fit_its_audio_or_shard_is_a_problem(
    tmp_path: Path, fields: dict[str, object], problem: tuple[str, str]
) -> None:
    assert problems_of(write_build(tmp_path, our_sample(**fields))) == [(KEY, *problem)]


def test_json_of_another_sample_breaks_the_contract(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", [("0.flac", flac()), ("0.json", our_sample().model_dump_json().encode())])
    assert problems_of(path) == [("0", "contract", f"breaks the contract: its JSON is of {KEY}")]


def test_a_foreign_sample_in_a_shard_of_ours_breaks_the_contract(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "train-00000.tar", foreign("0"))
    assert [code for _, code, _ in problems_of(path)] == ["contract"]


def test_audio_that_does_not_decode_is_a_problem_and_the_rest_is_checked(tmp_path: Path) -> None:
    cut = flac(1.0)[:-200]
    path = write_shard(tmp_path / "a.tar", [("0.flac", b"no sound"), ("0.json", b"{}"), ("1.flac", cut), ("1.json", b"{}"), *foreign("2")])
    found = problems_of(path)
    assert [(key, code) for key, code, _ in found] == [("0", "undecodable"), ("1", "undecodable")]
    assert found[0][2] == "its audio cannot be used: libsndfile: Format not recognised."


def test_a_key_in_two_shards_is_a_problem(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", foreign("0", "1"))
    write_shard(tmp_path / "b.tar", foreign("1", "2"))
    assert problems_of(tmp_path) == [("1", "repeated_key", "stands in a.tar too")]


def test_one_sample_is_not_two_shards(tmp_path: Path) -> None:
    assert problems_of(write_shard(tmp_path / "train-00000.tar", ours(our_sample()))) == []
