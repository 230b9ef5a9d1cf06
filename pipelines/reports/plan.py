"""What a build would do, from file headers alone: songs, clips, hours, buckets, and an estimate of
time and disk.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from pipelines.audio.decode import header
from pipelines.errors import DeadInput
from pipelines.samples.moved_labels import varied
from pipelines.stages.inputs.assign_buckets_sql import bucket_count
from pipelines.stages.inputs.cut import windows
from schemas.corpus import InputRow, Song
from schemas.identity import stable_hash
from schemas.recipe import IngestRecipe, Recipe
from schemas.record import Record

# Measured on one core, per 10 s of audio; tests/benchmarks/RESULTS.md has the run.
ANNOTATE_S: Final = 0.35  # labels, over 1.25 clip lengths
VARY_S: Final = 0.10  # one changed copy
WRITE_S: Final = 0.02  # one sample through caption, pack and verify
BYTES_PER_S_AT_16K: Final = 17_000  # mono 16-bit FLAC of music
HEADERS: Final = 20_000  # read for a plan; a listing of more is estimated from so many
_NOT_LOCAL: Final = "not_local"  # the code of what a plan does not open
NAMED: Final = 20  # inputs whose header cannot be read
_UNKNOWN_ID: Final = "0" * 16


class UnreadInput(Record):
    """An input whose header cannot be read, and why."""

    file: str
    reason: str


class BuildPlan(Record):
    """Counts of a build that is not done yet. `unread` inputs could not be probed by their header.

    Beyond `sampled` inputs, all but `inputs` and `ignored` are estimates from the headers of that
    many, sampled by key. The first unread ones are in `problems`, those left out that a plan does
    not open: remote ones and members of shards.
    """

    inputs: int
    ignored: int
    sampled: int
    unread: int
    songs: int
    clips: int
    buckets: int
    samples: int
    source_hours: float
    sample_hours: float
    cpu_hours: float
    disk_gb: float
    problems: tuple[UnreadInput, ...] = ()


def plan_build(rows: Iterable[InputRow], recipe: Recipe) -> BuildPlan:
    """A plan from a listing.

    Nothing is hashed, decoded or written; exact duplicates are not known yet.
    """
    totals: Counter[str] = Counter()
    looked_into = _sampled(rows, totals, recipe.corpus.seed)
    seconds: Counter[str] = Counter()
    problems: list[UnreadInput] = []
    for row in looked_into:
        try:
            song = _song(row)
            spans = windows(row, song, recipe.ingest)
        except DeadInput as error:
            totals["unread"] += 1
            if error.code != _NOT_LOCAL:
                reason = f"{error.code}: {error.message} {error.figure}".strip()
                problems.append(UnreadInput(file=row.source.uri, reason=reason))
            continue
        totals["songs"] += 1
        totals["clips"] += len(spans)
        seconds["source"] += round(song.duration_s)
        seconds["clips"] += round(sum(end_s - start_s for start_s, end_s in spans))
    scale = (totals["inputs"] - totals["ignored"]) / max(1, len(looked_into))
    for name in ("unread", "songs", "clips"):
        totals[name] = round(totals[name] * scale)
    plan = _estimated(
        totals, len(looked_into), {name: value * scale for name, value in seconds.items()}, recipe
    )
    problems.sort(key=lambda problem: problem.file)
    return plan.replaced(problems=tuple(problems[:NAMED]))


def _sampled(rows: Iterable[InputRow], totals: Counter[str], seed: int) -> list[InputRow]:
    """Count all inputs, and sample those to look into: the ones whose keys have the highest hashes,
    so the same every time.
    """
    sampled: list[tuple[int, int, InputRow]] = []
    for index, row in enumerate(rows):
        totals["inputs"] += 1
        if row.outcome is not None:
            totals["ignored"] += 1
            continue
        entry = (stable_hash(seed, "plan", row.row), index, row)
        if len(sampled) < HEADERS:
            heapq.heappush(sampled, entry)
        else:
            heapq.heappushpop(sampled, entry)
    return [row for _, _, row in sampled]


def _song(row: InputRow) -> Song:
    if row.source.member or "://" in row.source.uri:
        raise DeadInput(_NOT_LOCAL, "headers of remote files and shards are not read for a plan")
    rate_hz, channels, duration_s = header(row.source.uri)
    return Song(song_id=_UNKNOWN_ID, rate_hz=rate_hz, channels=channels, duration_s=duration_s)


def _estimated(
    totals: Counter[str], sampled: int, seconds: Mapping[str, float], recipe: Recipe
) -> BuildPlan:
    train = 1.0 if recipe.vary.all_splits else 1 - recipe.ingest.validation - recipe.ingest.test
    copies = 1 + train * (len(varied(recipe.vary)) + recipe.mix.mixes)
    clips_s = seconds.get("clips", 0.0)
    tens = clips_s / 10
    cpu_s = tens * (ANNOTATE_S * recipe.ingest.extend + (copies - 1) * VARY_S + copies * WRITE_S)
    sample_s = clips_s * copies
    stored = 2 if recipe.pack.keep_variants else 1
    all_hz = recipe.vary.rate_hz + sum(recipe.vary.copies_hz)
    return BuildPlan(
        inputs=totals["inputs"],
        ignored=totals["ignored"],
        sampled=sampled,
        unread=totals["unread"],
        songs=totals["songs"],
        clips=totals["clips"],
        buckets=_buckets(totals["clips"], train, recipe.ingest),
        samples=round(totals["clips"] * copies),
        source_hours=round(seconds.get("source", 0.0) / 3600, 3),
        sample_hours=round(sample_s / 3600, 3),
        cpu_hours=round(cpu_s / 3600, 3),
        disk_gb=round(
            stored * sample_s * BYTES_PER_S_AT_16K * all_hz / 16_000 * recipe.vary.channels / 1e9, 3
        ),
    )


def _buckets(clips: int, train: float, recipe: IngestRecipe) -> int:
    shares = (train, recipe.validation, recipe.test)
    return sum(
        bucket_count(round(clips * share), clips, recipe) for share in shares if clips * share >= 1
    )
