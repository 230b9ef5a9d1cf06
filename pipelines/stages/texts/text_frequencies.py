"""Stage *weigh*: how many clips of the corpus have each text among their candidates; a combine over
all buckets.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from pipelines.engine import bucket as clips
from pipelines.engine.stage import Done, Exchange, Job, Stage
from pipelines.stages.texts.match_texts import FOLDER as MATCHES
from schemas.identity import Bucket
from schemas.pseudo_label import Frequency, Matched
from schemas.recipe import Recipe

FOLDER: Final = "frequencies"
_RANGE: Final = 4096  # entries under one key: a message a bucket and range, not one a text
Counts = dict[int, int]  # clips by entry


class Told(NamedTuple):
    """What a bucket says of a range of entries."""

    bucket: str
    counts: Counts


def emit(job: Job) -> Iterator[tuple[int, Told]]:
    """Clips by candidate, in ranges of entries."""
    counts: dict[int, Counts] = {}
    for row in job.store.read_records(f"{MATCHES}/{job.bucket}.parquet", Matched):
        for entry in {candidate.entry for candidate in row.candidates}:
            of_range = counts.setdefault(entry // _RANGE, {})
            of_range[entry] = of_range.get(entry, 0) + 1
    yield from ((number, Told(job.bucket, found)) for number, found in counts.items())


def meet(_recipe: Recipe, _range: int, told: list[Told]) -> Iterator[tuple[str, Counts]]:
    """To each bucket the sums over its own generation and those before: what comes later must not
    change what was labelled.
    """
    total: Counter[int] = Counter()
    by_generation: dict[int, list[Told]] = {}
    for one in told:
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
    clips.progress(len(clips.read(job)))
    return Done(
        [job.store.write_records(f"{FOLDER}/{job.bucket}.parquet", Frequency, records)],
        {"texts": len(records)},
    )


STAGE: Final = Stage(
    "weigh",
    FOLDER,
    1,
    (),
    ("clips", MATCHES),
    None,
    asked=lambda recipe: recipe.labels,
    exchange=Exchange(emit, meet, receive),
)
