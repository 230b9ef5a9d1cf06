"""Held-out songs that models are tried with."""

from collections.abc import Iterator

from pipelines.shards.find import find_shards
from schemas.sample import Sample
from training.evaluation.originals import held_out, originals


def held_out_songs(shards: str, most: int) -> Iterator[Sample]:
    """The first sample of each of so many held-out songs."""
    chosen, _ = held_out(find_shards(shards).shards)
    seen: set[str] = set()
    for _, sample in originals(chosen):
        if sample and sample.song_id not in seen and len(seen) < most:
            seen.add(sample.song_id)
            yield sample


def first_text(sample: Sample) -> str:
    """A sample's first caption; empty where it has none."""
    return sample.captions[0].text if sample.captions else ""
