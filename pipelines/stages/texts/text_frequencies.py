"""Stage *text_frequencies*: how many clips of the corpus have each text among their candidates; a
combine over all buckets.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, FREQUENCIES, MATCHES
from pipelines.engine import bucket as clips
from pipelines.engine.stage import Shuffle, Stage
from schemas.identity import Bucket
from schemas.pseudo_label import Frequency
from schemas.recipe import Recipe

_RANGE: Final = 4096  # entries under one key: a message a bucket and range, not one a text
Counts = dict[int, int]  # clips by entry


class EntryCounts(NamedTuple):
    """What a bucket says of a range of entries."""

    bucket: str
    counts: Counts


def emit(job: Job) -> Iterator[tuple[int, EntryCounts]]:
    """Clips by candidate, in ranges of entries."""
    counts: dict[int, Counts] = {}
    for row in MATCHES.read(job):
        for entry in {candidate.entry for candidate in row.candidates}:
            of_range = counts.setdefault(entry // _RANGE, {})
            of_range[entry] = of_range.get(entry, 0) + 1
    yield from ((number, EntryCounts(job.bucket, found)) for number, found in counts.items())


def reduce(
    _recipe: Recipe, _range: int, entry_counts: list[EntryCounts]
) -> Iterator[tuple[str, Counts]]:
    """To each bucket the sums over its own generation and those before: what comes later must not
    change what was labelled.
    """
    total: Counter[int] = Counter()
    by_generation: dict[int, list[EntryCounts]] = {}
    for one in entry_counts:
        by_generation.setdefault(Bucket.parse(one.bucket).generation, []).append(one)
    for _, of_generation in sorted(by_generation.items()):
        for one in of_generation:
            total.update(one.counts)
        for one in of_generation:
            yield one.bucket, {entry: total[entry] for entry in one.counts}


def receive(job: Job, rows: list[Counts]) -> Done:
    """Write the frequencies of a bucket's own candidates."""
    merged = {entry: count for row in rows for entry, count in row.items()}
    records = [Frequency(entry=entry, clips=merged[entry]) for entry in sorted(merged)]
    clips.progress(len(CLIPS.read(job)))
    return Done([FREQUENCIES.write(job, records)], {"texts": len(records)})


STAGE: Final = Stage(
    name="text_frequencies",
    version=1,
    reads=(CLIPS, MATCHES),
    writes=(FREQUENCIES,),
    shuffle=Shuffle(emit=emit, reduce=reduce, receive=receive),
    enabled=lambda recipe: recipe.labels,
)
