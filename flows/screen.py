"""What the terminal shows: progress with time left per stage, and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # the annotations alone: screens of other commands must not load what a build needs
    from flows.stages import StepProgress, Watch
    from pipelines.planning import Plan
    from pipelines.quoting import Quote
    from schemas.corpus import LedgerRow

console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
_FIGURES = ("beats", "downbeats", "meter", "tempo", "chords", "key")


@contextmanager
def watching() -> Iterator[Watch]:
    """A progress bar per stage; where there is no terminal, one line per finished stage."""
    columns = (
        TextColumn("{task.description:>9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}
        finished: set[str] = set()

        def watch(state: StepProgress) -> None:
            if state.step not in tasks:
                tasks[state.step] = bars.add_task(state.step, total=state.total)
            bars.update(tasks[state.step], completed=state.done)
            if state.done == state.total and state.step not in finished and not console.is_terminal:
                finished.add(state.step)
                console.print(f"{state.step}: {state.total}")

        yield watch


def print_dataset(dataset: Mapping[str, Any], out: str) -> None:
    """What a build holds, in a few lines."""
    table = Table("split", "samples", "hours", "shards", box=None)
    for name, row in dataset["splits"].items():
        table.add_row(name, str(row["samples"]), f"{row['hours']:.2f}", str(row["shards"]))
    console.print(table)
    inputs, samples = dataset["inputs"], dataset["samples"]
    console.print("inputs:  " + f"{inputs['in']} = " + " + ".join(f"{count} {name}" for name, count in inputs.items() if name != "in"))
    console.print(
        f"samples: {samples['planned']} planned = {samples['written']} written + {samples['rejected']} rejected + {samples['dead']} dead"
    )
    if dataset["agreement"]:
        console.print("labels extracted again from the samples' audio, agreement with the ones they carry:")
        console.print(agreement_table(dataset["agreement"]))
    command = sys.argv[0] if Path(sys.argv[0]).name == "obbligato" else "obbligato"
    console.print(f"look into it:  {command} shards stats {out}", soft_wrap=True)


def print_recovery(means: Mapping[str, Any]) -> None:
    """How well the labels of composed pieces were recovered."""
    console.print("labels of the original clips against the exact truth of the pieces (F within 70 ms, shares otherwise):")
    console.print(agreement_table({"truth": means}))


def print_plan(plan: Plan) -> None:
    """A plan, in a few lines."""
    console.print(
        f"inputs:  {plan.inputs} = {plan.songs} songs + {plan.ignored} ignored or dead by name + {plan.unread} whose header cannot be read"
    )
    if plan.sampled < plan.inputs - plan.ignored:
        console.print(f"         estimated from the headers of {plan.sampled} inputs")
    console.print(f"source:  {plan.source_hours:.2f} hours")
    console.print(f"output:  {plan.clips} clips in {plan.buckets} buckets, {plan.samples} samples, {plan.sample_hours:.2f} hours")
    console.print(f"cost:    about {plan.cpu_hours:.2f} hours on one core, {plan.disk_gb:.2f} GB of disk")


def print_quote(quote: Quote) -> None:
    """What rewording would cost, in a few lines."""
    for line in quote.lines:
        console.print(line)


def agreement_table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """Mean figures per row name."""
    table = Table("", "samples", *_FIGURES, box=None)
    for name, row in rows.items():
        table.add_row(name, str(row["samples"]), *("–" if row[figure] is None else f"{row[figure]:.2f}" for figure in _FIGURES))
    return table


def print_ledger(rows: Sequence[LedgerRow]) -> None:
    """Ledger rows, one a line."""
    table = Table("outcome", "stage", "code", "figure", "key", "message", box=None)
    for row in rows:
        table.add_row(*(plain(text) for text in (row.outcome.value, row.stage, row.code, row.figure, row.key, row.message)))
    console.print(table)
    console.print(f"{len(rows)} rows")


def plain(text: str) -> Text:
    """Text from outside as it may be shown: control characters escaped, no markup read from it."""
    return Text("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text))
