"""What shards hold, counted: from JSON alone for ours, with audio headers for foreign ones."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipelines.errors import readable
from pipelines.shards.audio import Depth, listened
from pipelines.shards.find import FoundShards, Shard, ShardProblem
from pipelines.shards.label_statistics import LabelCounts
from pipelines.shards.read import RawSample, as_ours, read_shard
from schemas.chord import NO_CHORD
from schemas.identity import variant_kind
from schemas.record import Record
from schemas.sample import Sample

# where foreign sets keep theirs
CAPTION_FIELDS: Final = ("caption", "main_caption", "text", "description", "prompt")
_TEMPO_BIN: Final = 10  # BPM
_WORDS_BIN: Final = 10
_MOST_WORDS: Final = 100  # longer captions share the last bin
_LONGEST_NAME: Final = 80  # of a licence or extension that is counted
UNKNOWN: Final = "unknown"
NO_CHORD_SYMBOL: Final = "N.C."


class SoundingSample(NamedTuple):
    """A sample with audio: our record of it where it is ours, and how long it sounds (none where
    that is unknown).
    """

    raw: RawSample
    ours: Sample | None
    duration_s: float | None


def read_all(shard: Shard) -> Iterator[SoundingSample | ShardProblem]:
    """Samples of a shard with their lengths, and problems; one without audio is a problem only."""
    records: dict[str, Sample] = {}  # of the few samples between reading and listening

    def is_foreign(raw: RawSample) -> bool:
        found = as_ours(raw)
        if isinstance(found, Sample):
            records[raw.key] = found
        return not isinstance(found, Sample)

    for entry, sound in listened(read_shard(shard), is_foreign, Depth.HEADER):
        if isinstance(entry, ShardProblem):
            yield entry
        elif entry.audio is not None:
            ours = records.pop(entry.key, None)
            broken = as_ours(entry) if ours is None else None
            if isinstance(broken, ShardProblem):
                yield broken
            measured_s = sound.duration_s if sound else None
            yield SoundingSample(entry, ours, ours.duration_s if ours else measured_s)


class ShardRow(Record):
    """A shard in one line. `duration_s` leaves out samples whose audio cannot be read."""

    shard: str
    url: str
    split: str | None
    samples: int
    duration_s: float
    bytes: int | None
    problems: int


def list_shards(found: FoundShards) -> Iterator[ShardRow]:
    """A row per shard, in order."""
    beside = Counter(problem.shard for problem in found.problems)
    for shard in found.shards:
        samples = problems = 0
        duration_s = 0.0
        for entry in read_all(shard):
            samples += isinstance(entry, SoundingSample)
            problems += isinstance(entry, ShardProblem)
            duration_s += (entry.duration_s or 0.0) if isinstance(entry, SoundingSample) else 0.0
        yield ShardRow(
            shard=shard.name,
            url=shard.url,
            split=shard.split,
            samples=samples,
            duration_s=round(duration_s, 3),
            bytes=size_of(shard),
            problems=problems + beside.pop(shard.name, 0),
        )
    for name, count in beside.items():
        yield ShardRow(
            shard=name, url="", split=None, samples=0, duration_s=0, bytes=None, problems=count
        )


def size_of(shard: Shard) -> int | None:
    """Bytes of a shard's file, or none where it is missing."""
    try:
        return int(shard.fs.size(shard.path) or 0)
    except (OSError, ValueError):
        return None


@dataclass
class Stats:
    """Counts over samples. `None` as a name counts samples in which nothing was found."""

    shards: int = 0
    samples: int = 0
    ours: int = 0
    duration_s: float = 0.0
    unmeasured: int = 0  # samples whose audio cannot be read
    problems: Counter[str] = field(default_factory=Counter)  # by code
    splits: Counter[str] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)  # by kind of change
    keys: Counter[str | None] = field(default_factory=Counter)
    # by the lower end of a bin of 10 BPM
    tempos: Counter[int | None] = field(default_factory=Counter)
    meters: Counter[int | None] = field(default_factory=Counter)
    chords_s: dict[str, float] = field(default_factory=dict)  # seconds by symbol
    # by the lower end of a bin of 10 words
    caption_words: Counter[int | None] = field(default_factory=Counter)
    # by kind, or by field of a foreign JSON
    captions: Counter[str] = field(default_factory=Counter)
    uncaptioned: int = 0  # samples of ours that no caption goes with
    licences: Counter[str] = field(default_factory=Counter)
    extensions: Counter[str] = field(default_factory=Counter)
    labels: LabelCounts = field(default_factory=LabelCounts)

    def as_json(self) -> dict[str, Any]:
        """The counts as plain data; nothing found is "none"."""
        plain: dict[str, Any] = {}
        for name, value in vars(self).items():
            plain[name] = value
            if isinstance(value, dict):
                ordered = sorted(value.items(), key=lambda row: (row[0] is None, row[0]))
                plain[name] = {
                    "none" if key is None else str(key): round(count, 3) for key, count in ordered
                }
        return {
            **plain,
            "duration_s": round(self.duration_s, 3),
            "labels": self.labels.stats().model_dump(mode="json"),
        }


def count_all(found: FoundShards) -> Stats:
    """Count all samples of a target."""
    stats = Stats(
        shards=len(found.shards), problems=Counter(problem.code for problem in found.problems)
    )
    for shard in found.shards:
        for entry in read_all(shard):
            if isinstance(entry, ShardProblem):
                stats.problems[entry.code] += 1
            else:
                _count(stats, entry)
    return stats


def _count(stats: Stats, read: SoundingSample) -> None:
    stats.samples += 1
    stats.duration_s += read.duration_s or 0.0
    stats.unmeasured += read.duration_s is None
    stats.extensions.update(readable(part.extension[:_LONGEST_NAME]) for part in read.raw.parts)
    if read.ours:
        _count_ours(stats, read.ours)
    else:
        facts = read.raw.facts or {}
        _count_captions(
            stats,
            ((name, facts[name]) for name in CAPTION_FIELDS if isinstance(facts.get(name), str)),
        )
        stats.licences[
            str(facts.get("licence") or facts.get("license") or UNKNOWN)[:_LONGEST_NAME]
        ] += 1


def _count_ours(stats: Stats, sample: Sample) -> None:
    stats.ours += 1
    stats.splits[sample.split.value] += 1
    stats.variants[variant_kind(sample.change.variant).value] += 1
    key, bpm = sample.key_label.key, sample.tempo.bpm
    stats.keys[key.name if key else None] += 1
    stats.tempos[None if bpm is None else int(bpm // _TEMPO_BIN) * _TEMPO_BIN] += 1
    stats.meters[sample.meter.beats_per_bar] += 1
    for segment in sample.chords.segments:
        symbol = (
            NO_CHORD_SYMBOL
            if segment.label == NO_CHORD or segment.chord is None
            else segment.chord.symbol()
        )
        stats.chords_s[symbol] = stats.chords_s.get(symbol, 0.0) + segment.end_s - segment.start_s
    stats.uncaptioned += not sample.captions
    _count_captions(stats, ((caption.kind.value, caption.text) for caption in sample.captions))
    stats.licences.update({source.licence or UNKNOWN for source in sample.sources})
    stats.labels.add((one.form, one.text) for one in sample.pseudo_labels)


def _count_captions(stats: Stats, captions: Iterable[tuple[str, str]]) -> None:
    for kind, text in captions:
        stats.captions[kind] += 1
        stats.caption_words[min(len(text.split()) // _WORDS_BIN * _WORDS_BIN, _MOST_WORDS)] += 1
