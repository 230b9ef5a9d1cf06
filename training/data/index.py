"""Where the samples of a corpus stand: shards, and the bytes of each sample within them.

A sample is fetched by one read of a range, from a disk or an object store alike. Our own shards say
where in their index; another's headers are read once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import fsspec
import numpy as np
import numpy.typing as npt

from pipelines.errors import DeadInput, PipelineError
from pipelines.shards.find import Shard, find_shards, index_of, open_file
from pipelines.storage.tar import sample_offsets
from schemas.identity import Split
from training.errors import NoSamples, TrainingError

Offsets = npt.NDArray[np.int64]


class ShardOffsets(NamedTuple):
    """A shard and where its samples begin, and, as a last number, where they end."""

    url: str
    offsets: Offsets

    @property
    def samples(self) -> int:
        """Samples in the shard."""
        return len(self.offsets) - 1


class Range(NamedTuple):
    """Bytes of one sample in a shard: a tar of its own."""

    url: str
    start: int
    end: int


class CorpusIndex:
    """All samples of a corpus by number, in the order of its shards."""

    def __init__(self, shards: Sequence[ShardOffsets]) -> None:
        self.shards = tuple(shards)
        self._ends = np.cumsum([shard.samples for shard in shards])

    def __len__(self) -> int:
        """Samples of the corpus."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def range_of(self, number: int) -> Range:
        """Where a sample's bytes are."""
        index = int(np.searchsorted(self._ends, number, side="right"))
        shard = self.shards[index]
        inside = number - (int(self._ends[index - 1]) if index else 0)
        return Range(shard.url, int(shard.offsets[inside]), int(shard.offsets[inside + 1]))


def index_corpus(target: str, split: Split) -> CorpusIndex:
    """The samples of one split of a target: a build, a folder of tars, a glob, a file, or a URL.

    Shards whose names state no split are taken for train. Raises `NoSamples` where there are none,
    `TrainingError` where one cannot be read.
    """
    try:
        shards = [
            shard for shard in find_shards(target).shards if (shard.split or Split.TRAIN) is split
        ]
        offsets = [_shard_offsets(shard) for shard in shards]
    except DeadInput as error:
        raise TrainingError(f"{target}: {error.message}") from error
    except PipelineError as error:
        raise TrainingError(str(error)) from error
    if not any(shard.samples for shard in offsets):
        raise NoSamples(
            f"{target} has no samples of split {split}: "
            "build a corpus with one, or name other shards"
        )
    return CorpusIndex([shard for shard in offsets if shard.samples])


def _shard_offsets(shard: Shard) -> ShardOffsets:
    try:
        stated = index_of(shard)
        if stated is not None and stated.offsets is not None:
            return ShardOffsets(shard.url, np.asarray(stated.offsets, np.int64))
        with open_file(shard) as file:
            offsets = sample_offsets(file)
    except DeadInput as error:
        raise DeadInput(error.code, f"{shard.name} {error.message}") from error
    return ShardOffsets(shard.url, np.asarray(offsets, np.int64))


def read_ranges(ranges: Sequence[Range]) -> list[bytes | Exception]:
    """The bytes of several samples; those of one file system are fetched at once.

    What cannot be read is its error.
    """
    contents: dict[Range, bytes | Exception] = {}
    by_protocol: dict[str, list[Range]] = {}
    for one in ranges:
        by_protocol.setdefault(one.url.partition("://")[0] if "://" in one.url else "", []).append(
            one
        )
    for together in by_protocol.values():
        fs = fsspec.core.url_to_fs(together[0].url)[0]
        paths = [fs._strip_protocol(one.url) for one in together]
        starts = [one.start for one in together]
        ends = [one.end for one in together]
        read_together = fs.cat_ranges(paths, starts, ends, on_error="return")
        contents.update(zip(together, read_together, strict=True))
    return [contents[one] for one in ranges]
