"""Counts over shards on the terminal: lines and histograms of block characters."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.table import Table
from rich.text import Text

from flows.screens.plain import plain
from flows.screens.terminal import Screen
from pipelines.shards.label_statistics import LabelStats
from pipelines.shards.stats import Stats
from schemas.identity import Split, VariantKind
from schemas.pitch import Key, Mode, pretty
from schemas.vocabulary import Form

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_MOST_CHORDS: Final = 15
_WIDEST: Final = 120
_SIDE_BY_SIDE: Final = 110  # columns from which two histograms stand beside each other
_FORMS: Final = {Form.LONG: "sentences", Form.SHORT: "tags"}
_MOST_NAMED: Final = 8  # licences, extensions; the rest are counted


class _Bar(NamedTuple):
    label: str
    value: float
    figure: str


def print_stats(console: Screen, stats: Stats) -> None:
    """Counts, histograms of caption lengths, and for our samples of key, tempo, meter, chords."""
    width = min(console.width, _WIDEST)
    console.print(_counts(stats))
    if any(name is not None for name in stats.keys):
        console.print(Text("\nkey, each beside its relative", style="bold"))
        console.print(_keys(stats.keys, width))
    charts = [
        ("tempo, BPM", _binned(stats.tempos, 400)),
        ("chords, share of time", _chords(stats.chords_s)),
        ("meter", _meters(stats.meters)),
        ("words in a caption", _binned(stats.caption_words, 100)),
    ]
    _print_charts(console, [(title, bars) for title, bars in charts if bars], width)
    _print_labels(console, stats.labels.stats(), width)


def _print_labels(console: Screen, labels: LabelStats, width: int) -> None:
    """How pseudo-labels spread; nothing where there are none."""
    for form, of_form in labels.forms.items():
        title = (
            "\n"
            f"{_FORMS[form]} chosen by embedding: "
            f"{of_form.labels:,} of {of_form.distinct:,} different ones"
        )
        console.print(Text(title, style="bold"))
        console.print(
            f"on {100 * labels.coverage:.1f} % of the samples; entropy "
            f"{of_form.entropy_bits:.2f} bits, Gini {of_form.gini:.2f}"
        )
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=width - 10)
        half = _MOST_NAMED // 2
        for used in (
            (*of_form.head[:half], None, *of_form.tail[-half:])
            if of_form.distinct > _MOST_NAMED
            else of_form.head
        ):
            table.add_row(
                "⋮" if used is None else f"{used.samples:,}",
                "" if used is None else plain(used.text),
            )
        console.print(table)


def _counts(stats: Stats) -> Table:
    grid = Table.grid(padding=(0, 3))
    grid.add_column(no_wrap=True, style="cyan")
    grid.add_column(overflow="fold")
    ours = (
        "" if stats.ours == stats.samples else f", {stats.ours or 'none'} of them made by Obbligato"
    )
    grid.add_row(
        "samples", f"{stats.samples:,} in {stats.shards:,} shard{'s' * (stats.shards != 1)}{ours}"
    )
    unmeasured = (
        f", without {stats.unmeasured:,} samples whose audio cannot be read"
        if stats.unmeasured
        else ""
    )
    grid.add_row("length", f"{stats.duration_s / 3600:.2f} hours{unmeasured}")
    for name, counts, order in (
        ("splits", stats.splits, tuple[str, ...](Split)),
        ("changes", stats.variants, tuple[str, ...](VariantKind)),
        ("captions", stats.captions, ()),
        ("licences", stats.licences, ()),
        ("members", stats.extensions, ()),
        ("problems", stats.problems, ()),
    ):
        if counts:
            grid.add_row(name, _named(counts, order))
        if name == "captions" and stats.uncaptioned:
            share = 100 * stats.uncaptioned / stats.ours
            grid.add_row("no caption", f"{stats.uncaptioned:,} of {stats.ours:,} ({share:.0f} %)")
    return grid


def _named(counts: Mapping[str, int], order: Sequence[str]) -> str:
    """Names and counts in a given order, or the most frequent first."""
    names = [name for name in order if name in counts] or sorted(
        counts, key=lambda name: (-counts[name], name)
    )
    rest = f" · {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return plain(" · ".join(f"{name} {counts[name]:,}" for name in names[:_MOST_NAMED]) + rest)


def _keys(counts: Mapping[str | None, int], width: int) -> Table:
    """Major keys by fifths upwards from C, each beside its relative minor."""
    bar_cells = (width - 48) // 2
    most = max(count for name, count in counts.items() if name is not None)
    table = Table.grid(padding=(0, 1))
    for _ in range(2):
        table.add_column(justify="right", min_width=9)
        table.add_column(width=bar_cells)
        table.add_column(justify="right", min_width=6)
    for index in range(12):
        major = Key(tonic=index * 7 % 12, mode=Mode.MAJOR)
        row = (major, major.relative())
        table.add_row(
            *(
                cell
                for key in row
                for cell in (
                    pretty(key.name),
                    bar(counts.get(key.name, 0), most, bar_cells),
                    f"{counts.get(key.name, 0):,}",
                )
            )
        )
    if counts.get(None):
        table.add_row("none", "", f"{counts[None]:,}")
    return table


def bar(value: float, most: float, cells: int) -> str:
    """A bar of block characters, `cells` long for `most`; what is more than nothing can be seen.

    >>> bar(3, 8, 4), bar(8, 8, 4), bar(0.01, 8, 4)
    ('█▌', '████', '▏')
    """
    eighths = round(8 * cells * value / most) if most > 0 else 0
    whole, rest = divmod(max(eighths, int(value > 0)), 8)
    return "█" * whole + _EIGHTHS[rest].strip()


def _meters(counts: Mapping[int | None, int]) -> list[_Bar]:
    known = sorted((beats, count) for beats, count in counts.items() if beats is not None)
    return [_Bar(f"{beats}/4", count, f"{count:,}") for beats, count in known] + _nothing(counts)


def _nothing(counts: Mapping[int | None, int]) -> list[_Bar]:
    """A line without a bar for samples in which nothing was found."""
    return [_Bar("none", 0, f"{counts[None]:,}")] if counts.get(None) else []


def _binned(counts: Mapping[int | None, int], last: int) -> list[_Bar]:
    """A bar per bin of ten from the lowest to the highest; the `last` bin has no end."""
    known = Counter[int]()
    for start, count in counts.items():
        if start is not None:
            known[min(start, last)] += count
    if not known:
        return _nothing(counts)
    starts = range(min(known), max(known) + 10, 10)
    bars = [
        _Bar(
            f"{start}+" if start == last else f"{start}–{start + 9}",
            known[start],
            f"{known[start]:,}",
        )
        for start in starts
    ]
    return bars + _nothing(counts)


def _chords(seconds: Mapping[str, float]) -> list[_Bar]:
    total = sum(seconds.values())
    ranked = sorted(seconds.items(), key=lambda row: (-row[1], row[0]))
    bars = [
        _Bar(pretty(symbol), value, f"{100 * value / total:.1f} %")
        for symbol, value in ranked[:_MOST_CHORDS]
    ]
    rest = sum(value for _, value in ranked[_MOST_CHORDS:])
    return bars + (
        [_Bar(f"{len(ranked) - _MOST_CHORDS} more", 0, f"{100 * rest / total:.1f} %")]
        if rest
        else []
    )


def _print_charts(
    console: Screen, charts: Sequence[tuple[str, Sequence[_Bar]]], width: int
) -> None:
    if width < _SIDE_BY_SIDE:
        for title, bars in charts:
            console.print()
            console.print(_chart(title, bars, width - 24))
        return
    for start in range(0, len(charts), 2):
        pair = Table.grid(padding=(0, 4))
        pair.add_row(
            *(_chart(title, bars, width // 2 - 26) for title, bars in charts[start : start + 2])
        )
        console.print()
        console.print(pair)


def _chart(title: str, bars: Sequence[_Bar], cells: int) -> Table:
    most = max(row.value for row in bars)
    table = Table.grid(padding=(0, 1))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    table.add_column(justify="right", min_width=9)
    table.add_column(width=cells)
    table.add_column(justify="right", min_width=7)
    for row in bars:
        table.add_row(plain(row.label), bar(row.value, most, cells), row.figure)
    return table
