"""Where the samples of a corpus stand: shards, and the bytes of each sample within them.

A sample is fetched by one read of a range, from a disk or an object store alike. Our own shards say
where in their index; another's headers are read once.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final, NamedTuple

import fsspec
import numpy as np
import numpy.typing as npt

from pipelines.errors import DeadInput, PipelineError, machine_faults
from pipelines.shards.find import Shard, find_shards, index_of, open_file
from pipelines.storage.tar import sample_offsets
from schemas.identity import Split
from training.errors import NoSamples, TrainingError

Offsets = npt.NDArray[np.int64]
_NONE: Final = np.zeros(0, np.int64)


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
    """All samples of a corpus by number, in the order of its shards.

    Where a `file` is named, offsets are kept there and mapped into memory: those of 100 million
    samples, 800 MB, are the machine's to hold once, not each process's, and a pickled index says
    where they are.
    """

    def __init__(self, shards: Iterable[ShardOffsets], file: str = "") -> None:
        self._file = file
        kept = _kept(shards, file)
        self._urls, self._ends = kept.urls, np.cumsum(kept.samples)
        self._offsets = _mapped(file) if file else np.concatenate([_NONE, *kept.rows])

    def __getstate__(self) -> dict[str, Any]:
        """Without what can be mapped."""
        return self.__dict__ | ({"_offsets": None} if self._file else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mapped again."""
        self.__dict__.update(state)
        if self._file:
            self._offsets = _mapped(self._file)

    def __len__(self) -> int:
        """Samples of the corpus."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def shards(self) -> tuple[ShardOffsets, ...]:
        """Its shards, each with its own offsets."""
        firsts = (0, *self._ends[:-1].tolist())
        rows = [
            self._offsets[first + index : int(end) + index + 1]
            for index, (first, end) in enumerate(zip(firsts, self._ends, strict=True))
        ]
        return tuple(ShardOffsets(url, row) for url, row in zip(self._urls, rows, strict=True))

    def range_of(self, number: int) -> Range:
        """Where a sample's bytes are."""
        index = int(np.searchsorted(self._ends, number, side="right"))
        at = number + index  # each shard before it has an offset more than samples
        return Range(self._urls[index], int(self._offsets[at]), int(self._offsets[at + 1]))


class _Kept(NamedTuple):
    """What an index keeps of its shards: names and samples; offsets, where no file has them."""

    urls: list[str]
    samples: list[int]
    rows: list[Offsets]


def _kept(shards: Iterable[ShardOffsets], file: str) -> _Kept:
    """Shards as they come, one in memory at a time where offsets go into a file."""
    kept = _Kept([], [], [])
    with _new_file(file) as out:
        for shard in shards:
            kept.urls.append(shard.url)
            kept.samples.append(shard.samples)
            if out is None:
                kept.rows.append(shard.offsets)
            else:
                out.write(shard.offsets.tobytes())
    return kept


@contextmanager
def _new_file(path: str) -> Iterator[IO[bytes] | None]:
    """A file that takes its name once it is whole, so that those who map the one before keep it."""
    if not path:
        yield None
        return
    temporary = f"{path}.{os.getpid()}"
    with machine_faults(f"writing {path}"):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(temporary, "wb") as out:
            yield out
        os.replace(temporary, path)


def _mapped(path: str) -> Offsets:
    return np.memmap(path, np.int64, "r") if os.path.getsize(path) else _NONE


def index_corpus(target: str, split: Split, file: str = "") -> CorpusIndex:
    """The samples of one split of a target: a build, a folder of tars, a glob, a file, or a URL;
    their offsets in a file of this machine, where one is named.

    Shards whose names state no split are taken for train. Raises `NoSamples` where there are none,
    `TrainingError` where one cannot be read.
    """
    try:
        shards = [
            shard for shard in find_shards(target).shards if (shard.split or Split.TRAIN) is split
        ]
        offsets = (_shard_offsets(shard) for shard in shards)
        index = CorpusIndex((one for one in offsets if one.samples), file)
    except DeadInput as error:
        raise TrainingError(f"{target}: {error.message}") from error
    except PipelineError as error:
        raise TrainingError(str(error)) from error
    if not len(index):
        raise NoSamples(
            f"{target} has no samples of split {split}: "
            "build a corpus with one, or name other shards"
        )
    return index


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
