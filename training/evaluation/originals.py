"""Samples that a model did not learn from, as they were before any change: what is played, and what
it is compared with.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.shards.find import Shard, ShardProblem
from pipelines.shards.read import RawSample, as_ours, read_shard
from schemas.identity import VariantKind, variant_kind
from schemas.sample import Sample


class OriginalSample(NamedTuple):
    """A sample as its shard holds it; its record where it is ours.

    Its bytes can be read until the next one is asked for.
    """

    raw: RawSample
    ours: Sample | None


def held_out(shards: Sequence[Shard]) -> tuple[list[Shard], str]:
    """Test shards, else those of validation, and the split's name; else all of them."""
    for split in ("test", "validation"):
        chosen = [shard for shard in shards if shard.split == split]
        if chosen:
            return chosen, split
    return list(shards), ""


def originals(shards: Sequence[Shard]) -> Iterator[OriginalSample]:
    """Samples of shards in order, without variants of ours and without what breaks the contract."""
    for shard in shards:
        for entry in read_shard(shard):
            ours = None if isinstance(entry, ShardProblem) else as_ours(entry)
            if isinstance(entry, ShardProblem) or isinstance(ours, ShardProblem):
                continue
            if ours is None or variant_kind(ours.change.variant) is VariantKind.ORIGINAL:
                yield OriginalSample(entry, ours)
