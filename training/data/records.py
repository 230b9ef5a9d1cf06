"""Samples of shards as records with their audio, for anybody's torch: by number, or as a stream
that goes on where it was left.

What comes when is a function of seed and position (`order`), so a stream's state is its position,
whatever read ahead for it.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from pipelines.audio.decode import decoded
from pipelines.errors import DeadInput, PipelineError
from pipelines.guarded.npy import read_codes
from pipelines.storage.store import digest
from schemas.identity import Split
from schemas.sample import Sample
from training.data.examples import CODES, guarded, member_of, members_of, parsed
from training.data.index import CorpusIndex, index_corpus, read_ranges
from training.data.loading import quiet_worker
from training.data.order import ORDER_VERSION, SampleOrder
from training.errors import TrainingError

T = TypeVar("T")
_AHEAD: Final = 4  # samples that each worker has read before they are asked for


class LoadedSample(NamedTuple):
    """A sample's record, and its audio: mono float32 within [-1, 1] at ``sample.rate_hz``."""

    sample: Sample
    wave: npt.NDArray[np.float32]


class SampleRecords(Dataset[LoadedSample]):
    """The samples of one split of a target by number, in the order of its shards; a target is a
    build, a folder of tars, a glob, a file or a URL.

    A sample is read by one range of its shard. Raises `TrainingError` where there is none.
    """

    def __init__(self, target: str, split: Split = Split.TRAIN) -> None:
        self._index: CorpusIndex = index_corpus(target, split)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._index)

    def __getitem__(self, number: int) -> LoadedSample:
        """One of them. Raises `PipelineError` where it cannot be read, or is none of ours."""
        return self._read(number, _sample_wave)

    def _read(self, number: int, make: Callable[[bytes], T]) -> T:
        if not -len(self) <= number < len(self):
            raise IndexError(f"sample {number} of {len(self)}")
        source = self._index.range_of(number % len(self))
        [content] = read_ranges([source])
        try:
            return guarded(content, make)
        except DeadInput as error:
            raise PipelineError(f"{source.url} at byte {source.start} {error.message}") from error

    def codes(self, number: int) -> npt.NDArray[np.uint16]:
        """A sample's codes, (codebooks, frames), of shards that `encode --codes` has put them into.

        Raises `PipelineError` where it has none, or they cannot be read.
        """
        return self._read(number, _sample_codes)

    @property
    def identity(self) -> str:
        """A hash of the shards' names and sizes: what a position is a position in."""
        shards = self._index.shards
        return digest([[one.url.rpartition("/")[2], one.offsets.tolist()] for one in shards])[:16]


def _sample_wave(content: bytes) -> LoadedSample:
    members = members_of(content)
    return LoadedSample(parsed(members), decoded(members["flac"]).wave)


def _sample_codes(content: bytes) -> npt.NDArray[np.uint16]:
    return read_codes(member_of(members_of(content), CODES))


class SampleStream(IterableDataset[LoadedSample]):
    """The samples of a split in another order each epoch, in this process or read ahead by workers
    of its own.

    Iterating it gives what is left of the epoch; the next time, the epoch after it. `state_dict`
    after any sample says where it stands, and a stream of the same samples and seed that loads it
    goes on there, with as many workers as it likes: nothing is missed, nothing comes twice.

    A stream in workers of somebody else's loader gives each of them its share; then the state is
    the workers', as torchdata's `StatefulDataLoader` keeps it.
    """

    def __init__(self, records: SampleRecords, *, seed: int = 0, workers: int = 0) -> None:
        super().__init__()
        self._records, self._seed, self._workers = records, seed, workers
        self._position = 0
        self._order = SampleOrder([len(records)], seed=seed)

    def __len__(self) -> int:
        """Samples of an epoch."""
        return len(self._records)

    @property
    def epoch(self) -> int:
        """The epoch that it stands in, from 0."""
        return self._position // len(self._records)

    def __iter__(self) -> Iterator[LoadedSample]:
        """What is left of the epoch."""
        end = (self.epoch + 1) * len(self)
        theirs = get_worker_info()
        if theirs is not None:  # a share of them, one by one
            first = self._position + (theirs.id - self._position) % theirs.num_workers
            positions = range(first, end, theirs.num_workers)
            for position in positions:
                self._position = position + 1
                yield self._records[self._order.at(position).number]
            self._position = end
            return
        left = EpochNumbers(self._order, range(self._position, end))
        passed = self._position
        for found in _read(self._records, left, self._workers):
            passed += 1
            self._position = passed
            yield found

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, and in what."""
        return {
            "position": self._position,
            "seed": self._seed,
            "samples": self._records.identity,
            "order": ORDER_VERSION,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another stood.

        Raises `TrainingError` where its samples, seed or order are not these.
        """
        own = self.state_dict()
        other = sorted(name for name in own if name != "position" and own[name] != state.get(name))
        if other:
            raise TrainingError(
                f"a stream of another {' and '.join(other)} stood there: open the same shards "
                "with the same seed, or begin anew"
            )
        self._position = int(state["position"])


class EpochNumbers(Sampler[int]):
    """Numbers of the samples at some positions of an order, each found as it is asked for."""

    def __init__(self, order: SampleOrder, positions: range) -> None:
        self._order, self._positions = order, positions

    def __iter__(self) -> Iterator[int]:
        """In the order of the positions."""
        return (self._order.at(position).number for position in self._positions)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._positions)


def _read(records: SampleRecords, numbers: EpochNumbers, workers: int) -> Iterator[LoadedSample]:
    """Samples of these numbers, in this order, read ahead by so many workers."""
    if not workers:
        yield from (records[number] for number in numbers)
        return
    with quiet_worker() as begin_worker:
        yield from DataLoader(
            records,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            worker_init_fn=begin_worker,
            prefetch_factor=_AHEAD,
            collate_fn=_as_it_is,
        )


def _as_it_is(found: Any) -> Any:
    return found
