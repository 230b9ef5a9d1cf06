"""What the terminal shows: progress with time left per stage, and tables.

The one console there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.control import Control
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import ControlType, Segment
from rich.table import Table

from flows.screens.plain import PlainStream, message, plain
from flows.screens.program import command_name

# the annotations alone: screens of other commands must not load what a build needs
if TYPE_CHECKING:
    from flows.build.run_stage import StepProgress, Watch
    from pipelines.paraphrasing.quote import Quote
    from pipelines.reports.plan import BuildPlan
    from schemas.agreement import KindAgreement
from schemas.corpus import LedgerRow
from schemas.counts import CaptionCounts
from schemas.dataset import Dataset

_FIGURES: Final = ("beats", "downbeats", "meter", "tempo", "chords", "key")
_WIDTH: Final = 160  # where there is no terminal


class Screen(Console):
    """A console that shows text as it is: no markup is read, and what is not rich's is escaped."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, stderr=stderr)
        if not self.is_terminal:
            self.width = _WIDTH

    @property
    def file(self) -> IO[str]:
        """The stream itself: rich's own colours must reach it, and `render` sees to the rest."""
        found = super().file
        return found.through if isinstance(found, PlainStream) else found

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        Console.file.fset(self, new_file)  # type: ignore[attr-defined]  # a property's

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The parts that something is drawn from, escaped whatever it was made of."""
        for part in super().render(renderable, options):
            yield (
                part
                if part.control
                else Segment("\n".join(map(plain, part.text.split("\n"))), part.style)
            )


console: Final = Screen()
stderr_console: Final = Screen(stderr=True)  # for progress where standard output is for a program


def _bars(screen: Screen, width: int = 0, *, transient: bool = False) -> Progress:
    """Progress with time left, names to the right within a width; nothing without a terminal."""
    return Progress(
        TextColumn(
            f"{{task.description:>{width}}}" if width else "{task.description}", markup=False
        ),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
        # rich would read colours out of what others print meanwhile
        redirect_stdout=False,
        redirect_stderr=False,
        transient=transient,
    )


@contextmanager
def watching(screen: Screen = console) -> Iterator[Watch]:
    """A progress bar per stage; where there is no terminal, one line per finished stage."""
    from flows.build.order import STEPS  # what a build needs: see above

    with _bars(screen, max(map(len, STEPS))) as bars:
        tasks: dict[str, TaskID] = {}
        finished: set[str] = set()

        def watch(state: StepProgress) -> None:
            if state.step not in tasks:
                tasks[state.step] = bars.add_task(state.step, total=state.total)
            bars.update(tasks[state.step], completed=state.done)
            if state.done == state.total and state.step not in finished and not screen.is_terminal:
                finished.add(state.step)
                screen.print(f"{state.step}: {state.total}")

        yield watch


def counting(what: str, total: int, screen: Screen = console) -> Callable[[int], None]:
    """Shows, on a terminal, how many of all are done."""

    def watch(done: int) -> None:
        if screen.is_terminal:
            screen.control(Control(ControlType.CARRIAGE_RETURN))
            screen.print(f"{what} {done} of {total}", end="" if done < total else "\n")

    return watch


@contextmanager
def tries(screen: Screen = console) -> Iterator[Callable[[int, int], None]]:
    """Shows, on a terminal, how much of a piece is done and how long the rest takes."""
    with _bars(screen, transient=True) as bars:
        task = bars.add_task("played", total=None, visible=False)

        def watch(done: int, total: int) -> None:
            if done <= 1:  # another piece
                bars.reset(task, total=total, visible=True)
            bars.update(task, completed=done, total=total, visible=done < total)

        yield watch


def print_dataset(dataset: Dataset, out: str) -> None:
    """What a build holds, in a few lines."""
    table = Table("split", "samples", "hours", "shards", box=None)
    for name, row in dataset.splits.items():
        table.add_row(name, str(row.samples), f"{row.hours:.2f}", str(row.shards))
    console.print(table)
    samples = dataset.samples
    counts = " + ".join(f"{count} {name}" for name, count in dataset.inputs.ended.items())
    console.print(plain(f"inputs:  {dataset.inputs.listed} = {counts}"))
    console.print(
        f"samples: {samples.planned} planned = {samples.written} written + {samples.rejected} "
        f"rejected + {samples.dead} dead"
    )
    if samples.rejected:
        line = f"         why rejected:  {command_name()} dead ls {out} --rejected"
        console.print(plain(line), soft_wrap=True)
    if without := _without_caption(dataset):
        console.print(without, soft_wrap=True)
    if dataset.agreement:
        console.print(
            "labels extracted again from the samples' audio, agreement with the ones they carry:"
        )
        console.print(agreement_table(dataset.agreement))
    console.print(plain(f"look into it:  {command_name()} shards stats {out}"), soft_wrap=True)


def _without_caption(dataset: Dataset) -> str:
    """A line that says how many samples no caption goes with, and why; empty where all have one."""
    counts = CaptionCounts.model_validate(dataset.stages.get("caption", {}))
    if not counts.uncaptioned:
        return ""
    share = 100 * counts.uncaptioned / max(counts.samples, 1)
    return (
        f"without a caption: {counts.uncaptioned} of {counts.samples} ({share:.0f} %): no label is "
        "sure enough (caption.min_…_confidence), and their sources have no words"
    )


def print_recovery(means: KindAgreement) -> None:
    """How well the labels of composed pieces were recovered."""
    console.print(
        "labels of the original clips against the exact truth "
        "of the pieces (F within 70 ms, shares otherwise):"
    )
    console.print(agreement_table({"truth": means}))


def print_plan(plan: BuildPlan) -> None:
    """A plan, in a few lines."""
    console.print(
        f"inputs:  {plan.inputs} = {plan.songs} songs + {plan.ignored} ignored or dead by name + "
        f"{plan.unread} whose header cannot be read"
    )
    for problem in plan.problems:
        console.print(f"unread:  {problem.file}: {problem.reason}", soft_wrap=True)
    if plan.unread > len(plan.problems):
        console.print(f"unread:  {plan.unread - len(plan.problems)} that are not named here")
    if plan.sampled < plan.inputs - plan.ignored:
        console.print(f"         estimated from the headers of {plan.sampled} inputs")
    console.print(f"source:  {plan.source_hours:.2f} hours")
    console.print(
        f"output:  {plan.clips} clips in {plan.buckets} buckets, "
        f"{plan.samples} samples, {plan.sample_hours:.2f} hours"
    )
    console.print(
        f"cost:    about {plan.cpu_hours:.2f} hours on one core, {plan.disk_gb:.2f} GB of disk"
    )


def print_quote(quote: Quote) -> None:
    """What rewording would cost, in a few lines."""
    for line in quote.lines:
        console.print(line)


def agreement_table(rows: Mapping[str, KindAgreement]) -> Table:
    """Mean figures per row name."""
    table = Table("", "samples", *_FIGURES, box=None)
    for name, row in rows.items():
        values = [getattr(row, figure) for figure in _FIGURES]
        table.add_row(
            name, str(row.samples), *("–" if value is None else f"{value:.2f}" for value in values)
        )
    return table


def print_ledger(rows: Sequence[LedgerRow]) -> None:
    """Ledger rows, one a line."""
    table = Table("outcome", "stage", "code", "figure", "key", "message", box=None)
    for row in rows:
        table.add_row(
            row.outcome.value,
            plain(row.stage),
            plain(row.code),
            plain(row.figure),
            plain(row.key),
            message(row.message),
        )
    console.print(table)
    console.print(f"{len(rows)} rows")
