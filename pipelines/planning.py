"""What a build would do, from file headers alone: songs, clips, hours, buckets, and an estimate of time and disk."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from pipelines.audio import header
from pipelines.errors import DeadInput
from pipelines.ingest import bucket_count, windows
from pipelines.planned import varied
from schemas.corpus import InputRow, Song
from schemas.recipe import IngestRecipe, Recipe
from schemas.record import Record

# Measured on one core, per 10 s of audio; tests/benchmarks/RESULTS.md has the run.
ANNOTATE_S: Final = 0.35  # labels, over 1.25 clip lengths
VARY_S: Final = 0.10  # one changed copy
WRITE_S: Final = 0.02  # one sample through caption, pack and verify
BYTES_PER_S_AT_16K: Final = 17_000  # mono 16-bit FLAC of music
_UNKNOWN_ID: Final = "0" * 16


class Plan(Record):
    """Counts of a build that is not done yet. `unread` inputs could not be probed by their header."""

    inputs: int
    ignored: int
    unread: int
    songs: int
    clips: int
    buckets: int
    samples: int
    source_hours: float
    sample_hours: float
    cpu_hours: float
    disk_gb: float


def plan_build(rows: Sequence[InputRow], recipe: Recipe) -> Plan:
    """A plan from a listing. Nothing is hashed, decoded or written; exact duplicates are not known yet."""
    totals: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for row in rows:
        if row.outcome is not None:
            totals["ignored"] += 1
            continue
        try:
            song = _song(row)
            spans = windows(row, song, recipe.ingest)
        except DeadInput:
            totals["unread"] += 1
            continue
        totals["songs"] += 1
        totals["clips"] += len(spans)
        seconds["source"] += round(song.duration_s)
        seconds["clips"] += round(sum(end_s - start_s for start_s, end_s in spans))
    return _estimated(len(rows), totals, seconds, recipe)


def _song(row: InputRow) -> Song:
    if row.source.member or "://" in row.source.uri:
        raise DeadInput("not_local", "headers of remote files and shards are not read for a plan")
    rate_hz, channels, duration_s = header(row.source.uri)
    return Song(song_id=_UNKNOWN_ID, rate_hz=rate_hz, channels=channels, duration_s=duration_s)


def _estimated(inputs: int, totals: Counter[str], seconds: Counter[str], recipe: Recipe) -> Plan:
    train = 1.0 if recipe.vary.all_splits else 1 - recipe.ingest.validation - recipe.ingest.test
    copies = 1 + train * len(varied(recipe.vary))
    tens = seconds["clips"] / 10
    cpu_s = tens * (ANNOTATE_S * recipe.ingest.extend + (copies - 1) * VARY_S + copies * WRITE_S)
    sample_s = seconds["clips"] * copies
    stored = 2 if recipe.pack.keep_variants else 1
    return Plan(
        inputs=inputs, ignored=totals["ignored"], unread=totals["unread"], songs=totals["songs"], clips=totals["clips"],
        buckets=_buckets(totals["clips"], train, recipe.ingest), samples=round(totals["clips"] * copies),
        source_hours=round(seconds["source"] / 3600, 3), sample_hours=round(sample_s / 3600, 3), cpu_hours=round(cpu_s / 3600, 3),
        disk_gb=round(stored * sample_s * BYTES_PER_S_AT_16K * recipe.vary.rate_hz / 16_000 * recipe.vary.channels / 1e9, 3),
    )  # fmt: skip


def _buckets(clips: int, train: float, recipe: IngestRecipe) -> int:
    shares = (train, recipe.validation, recipe.test)
    return sum(bucket_count(round(clips * share), recipe) for share in shares if clips * share >= 1)
