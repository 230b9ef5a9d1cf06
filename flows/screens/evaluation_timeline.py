"""Tables of what is judged by the asked timeline: figures of clips, swaps, and other systems."""

from collections.abc import Iterator
from html import escape

from flows.screens.evaluation_cells import (
    ceiling_cells,
    ceiling_heads,
    counted,
    interval_cells,
    optional,
)
from training.evaluation.report import CeilingCounts, EvaluationReport
from training.metrics.summary import Figure
from training.metrics.swap import SwapFigures, SwapReport
from training.metrics.timeline_figures import UNBOUNDED


def timeline_table(report: EvaluationReport) -> str:
    """Figures against the asked timeline; nothing where no clip has one."""
    if not report.timeline:
        return ""
    beside = report.ceilings is not None
    head = (
        "<tr><th>figure</th><th></th><th class=number>%, or as named</th>"
        "<th class=number>95 % interval</th><th>0 to 100 %</th><th class=number>chance</th>"
        f"{ceiling_heads(beside)}<th class=number>clips</th></tr>"
    )
    rows = "".join(_timeline_row(one, beside) for one in report.timeline)
    return (
        "<h2>Timeline <small>what is heard when it was asked for</small></h2><div class=wide>"
        f'<table>{head}{rows}</table></div><p class="facts">Beats and chords are those that each '
        "clip was laid out with, stated or filled in; tempo where it is stated. Overlaps are "
        "shares of the time of asked chords, by mir_eval’s rules: chords that a rule does not "
        "compare are left out. Chance: the same clips against each other’s timelines."
        f"{ceilings_note(report.ceilings)}</p>"
    )


def ceilings_note(ceilings: CeilingCounts | None) -> str:
    """What the columns of recordings and codec are of."""
    if ceilings is None:
        return ""
    codec = (
        f"; codec: {counted(ceilings.codec, 'round trip')} of them through "
        f"{escape(ceilings.codec_name)}"
        if ceilings.codec
        else ""
    )
    return (
        f" Recordings: {counted(ceilings.recordings, 'sample')} whose prompts these are, scored as "
        f"clips are, and held to the timeline of their own labels{codec}."
    )


def _timeline_row(one: Figure, beside: bool) -> str:
    is_share = one.name not in UNBOUNDED
    return (
        f"<tr><td class=name>{escape(one.name)}</td><td>{escape(one.meaning)}</td>"
        f"{interval_cells(one, is_share=is_share)}"
        f"<td class=number>{optional(one.chance, is_share=is_share)}</td>"
        f"{ceiling_cells(one, beside, is_share=is_share)}<td class=number>{one.clips}</td></tr>"
    )


def swap_tables(swaps: SwapReport, ceilings: CeilingCounts | None = None) -> str:
    """Whether a control that was swapped followed, and whether the others stayed."""
    beside = ceilings is not None
    head = (
        "<tr><th>swapped</th><th>figure</th><th></th><th class=number>%</th><th class=number>95 "
        "% interval</th><th>0 to 100 %</th><th class=number>chance</th>"
        f"{ceiling_heads(beside)}</tr>"
    )
    rows = "".join(row for swap in swaps.swaps for row in _swap_rows(swap, beside))
    table = f"<div class=wide><table>{head}{rows}</table></div>" if rows else ""
    return (
        "<h2>Swap test <small>two prompts that differ in one control</small>"
        f'</h2>{table}<p class="facts">{" ".join(_swap_notes(swaps, beside))}</p>'
    )


def _swap_rows(swap: SwapFigures, beside: bool) -> Iterator[str]:
    named = (
        f"followed {swap.followed.name}",
        *(f"followed {one.name}" for one in swap.also),
        "own prompt",
        "other’s prompt",
        *(f"{one.name} stayed" for one in swap.stayed),
    )
    figures = (swap.followed, *swap.also, swap.own, swap.other, *swap.stayed)
    for index, (name, one) in enumerate(zip(named, figures, strict=True)):
        swapped = (
            f"{escape(swap.swap)} <span class=soft>{counted(swap.pairs, 'pair')}</span>"
            if index == 0
            else ""
        )
        yield (
            f"<tr><td class=name>{swapped}</td><td>{escape(name)}</td>"
            f"<td>{escape(one.meaning)}</td>{interval_cells(one)}"
            f"<td class=number>{optional(one.chance)}</td>{ceiling_cells(one, beside)}</tr>"
        )


def _swap_notes(swaps: SwapReport, beside: bool) -> Iterator[str]:
    if swaps.swaps:
        yield (
            "A pair followed where each of its clips is nearer to its own prompt; each tie halves "
            "it, and a clip in which nothing is heard is a miss. Chance: the mean over both ways "
            "to give the two clips to the two prompts."
        )
    if swaps.swaps and beside:
        yield (
            "There is a recording of one prompt of a pair alone: recordings and codec say in how "
            "many of them what is heard is nearer to their own prompt than to the swapped one, for "
            "which chance is 50 %."
        )
    by_order = sum(swap.by_order for swap in swaps.swaps)
    if by_order:
        yield f"Judged by order, for want of asked times: {counted(by_order, 'pair')}."
    if swaps.unusable:
        yield (
            f"Pairs that differ in no control or in several, and tell nothing: {swaps.unusable}."
        )


def comparison_table(report: EvaluationReport) -> str:
    """The report's system beside another on the same prompts."""
    if not report.compared:
        return ""
    rows = "".join(
        f"<tr><td class=name>{escape(one.name)}</td><td>{escape(one.meaning)}</td>"
        f"<td class=number>{one.cases}</td><td class=number>{one.both}</td>"
        f"<td class=number>{one.first_alone}</td><td class=number>{one.second_alone}</td>"
        f"<td class=number>{one.neither}</td><td class=number>{one.p:.3g}</td></tr>"
        for one in report.compared
    )
    head = (
        "<tr><th>right</th><th></th><th class=number>cases</th><th class=number>both</th>"
        "<th class=number>this alone</th><th class=number>the other alone</th>"
        "<th class=number>neither</th><th class=number>p</th></tr>"
    )
    return (
        f"<h2>Beside {escape(report.compared_with)} <small>on the prompts of both</small></h2>"
        f'<div class=wide><table>{head}{rows}</table></div><p class="facts">p: McNemar’s exact '
        "test, two-sided, of cases that one system alone has right.</p>"
    )
