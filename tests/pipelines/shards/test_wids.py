"""An index for `wids`: every whole shard and its samples, by the names that its reader asks for."""

import json
from pathlib import Path

import pytest

from pipelines.errors import PipelineError
from pipelines.shards.find import ShardProblem, find_shards
from pipelines.shards.wids import export_index
from schemas.identity import Split
from tests.pipelines.shards.shard_samples import foreign, our_sample, ours, write_shard


def test_the_index_names_whole_shards_and_counts_their_samples(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    first = write_shard(folder / "train-00000.tar", ours(our_sample(), our_sample("pu1")))
    second = write_shard(folder / "train-00001.tar", foreign("0", "1", "2"))
    write_shard(folder / "train-00002.tar", [("0.json", b"{}")])  # no audio
    write_shard(folder / "test-00000.tar", foreign("9"))
    to = tmp_path / "index.json"
    given = list(export_index(find_shards(str(folder)), str(to), dataset="d", split=Split.TRAIN))
    problems = [(one.shard, one.code) for one in given if isinstance(one, ShardProblem)]
    assert problems == [("train-00002.tar", "no_audio")]
    # wids_specs.check_shards asks for url and nsamples, ShardListDataset for name and filesize
    assert json.loads(to.read_bytes()) == {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": "d",
        "shardlist": [
            {"url": str(first), "nsamples": 2, "filesize": first.stat().st_size},
            {"url": str(second), "nsamples": 3, "filesize": second.stat().st_size},
        ],
    }


def test_an_index_replaces_nothing_and_is_not_empty(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "train-00000.tar", ours(our_sample()))
    to = tmp_path / "index.json"
    with pytest.raises(PipelineError, match="no whole shard of split test"):
        list(export_index(find_shards(str(shard)), str(to), dataset="d", split=Split.TEST))
    assert not to.exists()
    to.write_text("mine")
    with pytest.raises(PipelineError, match="exists: name another file, or --force"):
        list(export_index(find_shards(str(shard)), str(to), dataset="d"))
    assert to.read_text() == "mine"
