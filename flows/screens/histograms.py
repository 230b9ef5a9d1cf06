"""Counts over shards as lines and histograms, for the terminal and for the listening page."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from flows.screens.plain import plain
from pipelines.shards.stats import Stats
from schemas.identity import Split, VariantKind
from schemas.pitch import Key, Mode, pretty
from schemas.vocabulary import Form

TEXT_FORMS: Final = {Form.LONG: "sentences", Form.SHORT: "tags"}
_MOST_CHORDS: Final = 15
_MOST_NAMED: Final = 8  # licences, extensions; the rest are counted


class HistogramBar(NamedTuple):
    """A bar: what it counts, how long it is, and its figure in words."""

    label: str
    value: float
    figure: str


class Histogram(NamedTuple):
    """Bars under a title."""

    title: str
    bars: Sequence[HistogramBar]


class CountLine(NamedTuple):
    """A name, and counts in words."""

    name: str
    text: str


def histograms(stats: Stats) -> list[Histogram]:
    """Tempo, chords, meter and words in a caption; those of which there is something."""
    charts = (
        Histogram("tempo, BPM", _binned(stats.tempos, 400)),
        Histogram("chords, share of time", _chords(stats.chords_s)),
        Histogram("meter", _meters(stats.meters)),
        Histogram("words in a caption", _binned(stats.caption_words, 100)),
    )
    return [chart for chart in charts if chart.bars]


def text_histograms(stats: Stats) -> list[Histogram]:
    """The texts that embeddings chose most, by form; empty where there are none."""
    found: list[Histogram] = []
    for form, used in stats.labels.stats().forms.items():
        title = f"{TEXT_FORMS[form]} chosen by embedding, {used.distinct:,} different ones"
        bars = [HistogramBar(plain(one.text), one.samples, f"{one.samples:,}") for one in used.head]
        found.append(Histogram(title, bars))
    return found


class RelativeKeys(NamedTuple):
    """A major key beside its relative minor."""

    major: HistogramBar
    minor: HistogramBar


def key_pairs(counts: Mapping[str | None, int]) -> list[RelativeKeys]:
    """Major keys by fifths upwards from C, each beside its relative minor; empty without a key."""
    if not any(name is not None for name in counts):
        return []
    majors = (Key(tonic=index * 7 % 12, mode=Mode.MAJOR) for index in range(12))
    return [RelativeKeys(_key(major, counts), _key(major.relative(), counts)) for major in majors]


def _key(key: Key, counts: Mapping[str | None, int]) -> HistogramBar:
    count = counts.get(key.name, 0)
    return HistogramBar(pretty(key.name), count, f"{count:,}")


def count_lines(stats: Stats) -> Iterator[CountLine]:
    """Samples, length, and what they are made of."""
    ours = (
        "" if stats.ours == stats.samples else f", {stats.ours or 'none'} of them made by Obbligato"
    )
    shards = f"{stats.shards:,} shard{'s' * (stats.shards != 1)}"
    yield CountLine("samples", f"{stats.samples:,} in {shards}{ours}")
    unmeasured = (
        f", without {stats.unmeasured:,} samples whose audio cannot be read"
        if stats.unmeasured
        else ""
    )
    yield CountLine("length", f"{stats.duration_s / 3600:.2f} hours{unmeasured}")
    for name, counts, order in (
        ("splits", stats.splits, tuple[str, ...](Split)),
        ("changes", stats.variants, tuple[str, ...](VariantKind)),
        ("captions", stats.captions, ()),
        ("licences", stats.licences, ()),
        ("members", stats.extensions, ()),
        ("problems", stats.problems, ()),
    ):
        if counts:
            yield CountLine(name, _named(counts, order))
        if name == "captions" and stats.uncaptioned:
            share = 100 * stats.uncaptioned / stats.ours
            text = f"{stats.uncaptioned:,} of {stats.ours:,} ({share:.0f} %)"
            yield CountLine("no caption", text)


def _named(counts: Mapping[str, int], order: Sequence[str]) -> str:
    """Names and counts in a given order, or the most frequent first."""
    names = [name for name in order if name in counts] or sorted(
        counts, key=lambda name: (-counts[name], name)
    )
    rest = f" · {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return plain(" · ".join(f"{name} {counts[name]:,}" for name in names[:_MOST_NAMED]) + rest)


def _meters(counts: Mapping[int | None, int]) -> list[HistogramBar]:
    known = sorted((beats, count) for beats, count in counts.items() if beats is not None)
    bars = [HistogramBar(f"{beats}/4", count, f"{count:,}") for beats, count in known]
    return bars + _nothing(counts)


def _nothing(counts: Mapping[int | None, int]) -> list[HistogramBar]:
    """A line without a bar for samples in which nothing was found."""
    return [HistogramBar("none", 0, f"{counts[None]:,}")] if counts.get(None) else []


def _binned(counts: Mapping[int | None, int], last: int) -> list[HistogramBar]:
    """A bar per bin of ten from the lowest to the highest; the `last` bin has no end."""
    known = Counter[int]()
    for start, count in counts.items():
        if start is not None:
            known[min(start, last)] += count
    if not known:
        return _nothing(counts)
    starts = range(min(known), max(known) + 10, 10)
    bars = [
        HistogramBar(
            f"{start}+" if start == last else f"{start}–{start + 9}",
            known[start],
            f"{known[start]:,}",
        )
        for start in starts
    ]
    return bars + _nothing(counts)


def _chords(seconds: Mapping[str, float]) -> list[HistogramBar]:
    total = sum(seconds.values())
    ranked = sorted(seconds.items(), key=lambda row: (-row[1], row[0]))
    bars = [
        HistogramBar(pretty(symbol), value, f"{100 * value / total:.1f} %")
        for symbol, value in ranked[:_MOST_CHORDS]
    ]
    rest = sum(value for _, value in ranked[_MOST_CHORDS:])
    if not rest:
        return bars
    others = HistogramBar(f"{len(ranked) - _MOST_CHORDS} more", 0, f"{100 * rest / total:.1f} %")
    return [*bars, others]
