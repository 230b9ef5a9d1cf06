"""An index of shards for `wids`, webdataset's reader by number, which reads the shards as they are.

Its form is what `wids-index` of webdataset 0.2 writes: each shard's URL, samples and bytes.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipelines.errors import PipelineError
from pipelines.shards.find import FoundShards, Shard, ShardProblem
from pipelines.shards.musicbench import free_file
from pipelines.shards.read import RawSample, read_shard
from schemas.identity import Split


class IndexedShard(NamedTuple):
    """A shard as the index lists it."""

    url: str
    nsamples: int
    filesize: int


def export_index(
    found: FoundShards, to: str, *, dataset: str, split: Split | None = None, force: bool = False
) -> Iterator[IndexedShard | ShardProblem]:
    """Write an index of shards (of one split by their names, if given), published whole at the end;
    gives each shard, and problems: a shard that has any is not in the index.

    Raises `PipelineError` where the file exists (unless `force`) or there is not one shard.
    """
    store, name = free_file(to, force=force)
    yield from found.problems
    listed: list[dict[str, Any]] = []
    for shard in found.shards:
        if split in (None, shard.split):
            for entry in _indexed(shard):
                if isinstance(entry, IndexedShard):
                    listed.append(entry._asdict())
                yield entry
    if not listed:
        raise PipelineError(
            f"nothing to index: no whole shard{f' of split {split}' if split else ''}"
        )
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": dataset,
        "shardlist": listed,
    }
    store.write_bytes(name, json.dumps(index, indent=2, ensure_ascii=False).encode() + b"\n")


def _indexed(shard: Shard) -> list[IndexedShard] | list[ShardProblem]:
    entries = list(_keys(shard))
    problems = [entry for entry in entries if isinstance(entry, ShardProblem)]
    if problems:
        return problems
    return [IndexedShard(shard.url, len(entries), int(shard.fs.size(shard.path)))]


def _keys(shard: Shard) -> Iterator[str | ShardProblem]:
    """The keys of a shard's samples, and its problems."""
    for entry in read_shard(shard):
        yield entry.key if isinstance(entry, RawSample) else entry
