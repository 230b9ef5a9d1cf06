"""Evaluations on the terminal: a report's figures, and what conditions are worth to a model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from flows.screens.evaluation_sound import sound_lines
from flows.screens.plain import message
from flows.screens.terminal import console

if TYPE_CHECKING:
    from training.evaluation.condition_ablation import ConditionAblation
    from training.evaluation.report import EvaluationReport


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
    for line in sound_lines(report):
        console.print(message(line))
    for swap in report.swaps.swaps if report.swaps else ():
        console.print(
            f"swap of {swap.control}: followed in {100 * swap.followed.value:.0f} % of {swap.pairs}"
        )


def _figures(report: "EvaluationReport") -> Table:
    published = {one.name: one for one in report.published}
    table = Table("metric", "", "%", "95 %", "chance", "clips", "as published", box=None)
    for one in report.figures:
        other = published.get(one.name)
        table.add_row(
            one.name,
            one.meaning,
            f"{100 * one.value:.1f}",
            f"{100 * one.low:.1f} – {100 * one.high:.1f}",
            "–" if one.chance is None else f"{100 * one.chance:.1f}",
            str(one.clips),
            f"{100 * other.value:.1f} of {other.clips}" if other else "–",
        )
    return table


def print_ablation(found: "Sequence[ConditionAblation]") -> None:
    """How a model's loss rises where a condition is swapped, in a terminal's lines."""
    table = Table("condition of another song", "loss, right", "wrong", "rise", "95 %", "", box=None)
    for one in found:
        rise, low, high = (
            f"{100 * value / one.right:+.2f} %" for value in (one.difference, one.low, one.high)
        )
        verdict = "used" if one.is_used else "not used"
        table.add_row(
            one.condition, f"{one.right:.4f}", f"{one.wrong:.4f}", rise, f"{low} … {high}", verdict
        )
    unusable = found[0].unusable
    left_out = f"; {unusable} samples cannot be used and are left out" if unusable else ""
    console.print(
        f"{found[0].songs} songs of validation, one clip each, the same noise for right and "
        f"wrong{left_out}"
    )
    console.print(table)
