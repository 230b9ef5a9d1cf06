"""Counts over shards on the terminal: lines and histograms of block characters."""

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from flows.screens.histograms import (
    TEXT_FORMS,
    Histogram,
    HistogramBar,
    RelativeKeys,
    count_lines,
    histograms,
    key_pairs,
)
from flows.screens.plain import plain
from flows.screens.terminal import Screen
from pipelines.shards.label_statistics import LabelStats
from pipelines.shards.stats import Stats

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_WIDEST: Final = 120
_SIDE_BY_SIDE: Final = 110  # columns from which two histograms stand beside each other
_MOST_NAMED: Final = 8  # texts of labels


def print_stats(console: Screen, stats: Stats) -> None:
    """Counts, histograms of caption lengths, and for our samples of key, tempo, meter, chords."""
    width = min(console.width, _WIDEST)
    console.print(_counts(stats))
    if pairs := key_pairs(stats.keys):
        console.print(Text("\nkey, each beside its relative", style="bold"))
        console.print(_keys(pairs, stats.keys.get(None, 0), width))
    _print_charts(console, histograms(stats), width)
    _print_labels(console, stats.labels.stats(), width)


def _print_labels(console: Screen, labels: LabelStats, width: int) -> None:
    """How pseudo-labels spread; nothing where there are none."""
    for form, of_form in labels.forms.items():
        title = (
            "\n"
            f"{TEXT_FORMS[form]} chosen by embedding: "
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
    for line in count_lines(stats):
        grid.add_row(line.name, line.text)
    return grid


def _keys(pairs: Sequence[RelativeKeys], without: int, width: int) -> Table:
    """Major keys by fifths upwards from C, each beside its relative minor."""
    bar_cells = (width - 48) // 2
    most = max(one.value for pair in pairs for one in pair)
    table = Table.grid(padding=(0, 1))
    for _ in range(2):
        table.add_column(justify="right", min_width=9)
        table.add_column(width=bar_cells)
        table.add_column(justify="right", min_width=6)
    for pair in pairs:
        table.add_row(
            *(
                cell
                for one in pair
                for cell in (one.label, bar(one.value, most, bar_cells), one.figure)
            )
        )
    if without:
        table.add_row("none", "", f"{without:,}")
    return table


def bar(value: float, most: float, cells: int) -> str:
    """A bar of block characters, `cells` long for `most`; what is more than nothing can be seen.

    >>> bar(3, 8, 4), bar(8, 8, 4), bar(0.01, 8, 4)
    ('█▌', '████', '▏')
    """
    eighths = round(8 * cells * value / most) if most > 0 else 0
    whole, rest = divmod(max(eighths, int(value > 0)), 8)
    return "█" * whole + _EIGHTHS[rest].strip()


def _print_charts(console: Screen, charts: Sequence[Histogram], width: int) -> None:
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


def _chart(title: str, bars: Sequence[HistogramBar], cells: int) -> Table:
    most = max(row.value for row in bars)
    table = Table.grid(padding=(0, 1))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    table.add_column(justify="right", min_width=9)
    table.add_column(width=cells)
    table.add_column(justify="right", min_width=7)
    for row in bars:
        table.add_row(plain(row.label), bar(row.value, most, cells), row.figure)
    return table
