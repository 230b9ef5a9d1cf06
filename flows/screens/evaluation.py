"""Evaluations on the terminal: a report's figures, and what conditions are worth to a model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from flows.screens.evaluation_memorized import memorized_lines
from flows.screens.evaluation_sound import sound_lines
from flows.screens.plain import message
from flows.screens.terminal import console

if TYPE_CHECKING:
    from training.evaluation.condition_ablation import ConditionAblation
    from training.evaluation.report import EvaluationReport
    from training.metrics.summary import Figure


def print_report(report: "EvaluationReport") -> None:
    """The figures, in a terminal's lines."""
    counts = report.counts
    alone = f"; of those scored {counts.swaps} in the swap test alone" if counts.swaps else ""
    console.print(
        f"{counts.given} given = {counts.scored} scored + {counts.dead} dead + {counts.skipped} "
        f"skipped{alone}"
    )
    for problem in report.problems[:5]:
        console.print(f"  {message(f'{problem.name}: {problem.reason}')}")
    console.print(
        _figures(report) if report.figures else "no prompt states a tempo, key, chords or a meter"
    )
    if report.timeline:
        console.print(_timeline(report))
    for line in sound_lines(report):
        console.print(message(line))
    for line in _swap_lines(report):
        console.print(line)
    for one in report.compared:
        console.print(
            f"{one.name}: {one.both + one.first_alone} of {one.cases} right, "
            f"{one.both + one.second_alone} by {message(report.compared_with)}; McNemar's p "
            f"{one.p:.3g}"
        )
    for line in memorized_lines(report.memorized) if report.memorized else ():
        console.print(message(line))


def _figures(report: "EvaluationReport") -> Table:
    published = {one.name: one for one in report.published}
    table = _table(report, "metric", "as published")
    for one in report.figures:
        other = published.get(one.name)
        beside = f"{100 * other.value:.1f} of {other.clips}" if other else "–"
        table.add_row(*_cells(report, one), beside)
    return table


def _timeline(report: "EvaluationReport") -> Table:
    table = _table(report, "when it was asked")
    for one in report.timeline:
        table.add_row(*_cells(report, one))
    return table


def _table(report: "EvaluationReport", name: str, *more: str) -> Table:
    ceilings = ("recordings", "codec") if report.ceilings else ()
    return Table(name, "", "%", "95 %", "chance", *ceilings, "clips", *more, box=None)


def _cells(report: "EvaluationReport", one: "Figure") -> list[str]:
    from flows.screens.evaluation_cells import optional
    from training.metrics.timeline_figures import UNBOUNDED

    is_share = one.name not in UNBOUNDED
    value, low, high, chance, recordings, codec = (
        optional(number, is_share=is_share)
        for number in (one.value, one.low, one.high, one.chance, one.recordings, one.codec)
    )
    ceilings = [recordings, codec] if report.ceilings else []
    return [one.name, one.meaning, value, f"{low} – {high}", chance, *ceilings, str(one.clips)]


def _swap_lines(report: "EvaluationReport") -> Iterator[str]:
    for swap in report.swaps.swaps if report.swaps else ():
        one = swap.followed
        chance = "" if one.chance is None else f", chance {100 * one.chance:.0f} %"
        also = "".join(f", {other.name} {100 * other.value:.0f} %" for other in swap.also)
        recorded = (
            ""
            if one.recordings is None
            else f"; nearer to their own prompt: recordings {100 * one.recordings:.0f} %"
        )
        through = "" if one.codec is None else f", through the codec {100 * one.codec:.0f} %"
        yield (
            f"swap of {swap.swap}: followed in {100 * one.value:.0f} % of {swap.pairs} "
            f"({100 * one.low:.0f} – {100 * one.high:.0f}) {one.name}{chance}{also}"
            f"{recorded}{through}"
        )


def print_ablation(found: "Sequence[ConditionAblation]") -> None:
    """How a model's loss rises where a condition is wrong, in a terminal's lines."""
    table = Table("wrong condition", "loss, right", "wrong", "rise", "95 %", "", box=None)
    for one in found:
        rise, low, high = (
            f"{100 * value / one.right:+.2f} %" for value in (one.difference, one.low, one.high)
        )
        verdict = "used" if one.is_used else "not used"
        table.add_row(
            f"{one.condition}: {one.how}",
            f"{one.right:.4f}",
            f"{one.wrong:.4f}",
            rise,
            f"{low} … {high}",
            verdict,
        )
    unusable = found[0].unusable
    left_out = f"; {unusable} samples cannot be used and are left out" if unusable else ""
    console.print(
        f"{found[0].songs} songs of validation, one clip each, the same noise for right and "
        f"wrong{left_out}"
    )
    console.print(table)
