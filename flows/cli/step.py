"""`obbligato step`: single steps, for schedulers; and the process that takes them for flows."""

import json
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flows.cli.options import Beam, Build, Runner, Shrink, Workers, step_names
from flows.cli.renamed import Renamed
from flows.errors import UsageError
from flows.screens.plain import message

if TYPE_CHECKING:
    from flows.build.run_stage import StepReport

_IDLE_S: Final = (
    120.0  # after which a process that is kept for the next step goes: it holds models in memory
)


class StepCommand(Renamed):
    """A command whose help names the steps, which are read where it is shown alone."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """The help, with all steps below it."""
        self.epilog = f"Steps, in their order: {', '.join(step_names())}."
        super().format_help(ctx, formatter)


def step(
    build: Build,
    name: Annotated[
        str,
        typer.Argument(
            metavar="STEP",
            help="One of the steps named below, or several of a chain: annotate,filter.",
            autocompletion=step_names,
        ),
    ],
    run: Annotated[
        str,
        typer.Option(
            metavar="FOLDER", help="Folder of the run's reports inside BUILD; without, a new one."
        ),
    ] = "",
    workers: Workers = 1,
    runner: Runner = "local",
    beam: Beam = None,
    share: Annotated[
        str, typer.Option(metavar="N/M", help="Only this share of the step's buckets, as 1/4.")
    ] = "",
    shrink: Shrink = False,
) -> None:
    """Take one step of a build that has begun. Prints JSON lines: progress, then what was done."""
    from pipelines.engine.child_process import CHILDREN

    def send(what: dict[str, Any]) -> None:
        typer.echo(json.dumps(what))

    try:
        for report in _taken(
            name, build, run, workers, runner, beam or [], share, send, shrink=shrink
        ):
            send({"report": report._asdict()})
    finally:
        CHILDREN.close()


def serve_steps(
    parent: Annotated[int, typer.Option(help="Process id of the starter, to end with it.")],
) -> None:
    """Take the steps that come as JSON lines; what a flow starts."""
    from flows.build.step_process import StepOrder
    from pipelines.engine.child_process import die_with
    from pipelines.errors import PipelineError, TransientError
    from pipelines.extras import naming_extras
    from pipelines.storage.lock import VARIABLE
    from pipelines.trust import trusted
    from schemas.errors import SchemaError

    die_with(parent)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes to the log, not among the answers

    def send(what: dict[str, Any]) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    while select.select([sys.stdin], [], [], _IDLE_S)[0] and (line := sys.stdin.readline()):
        fields: dict[str, Any] = json.loads(line)
        name, share = fields.pop("step"), fields.pop("share")
        order = StepOrder(**fields)
        os.environ[VARIABLE], os.environ[trusted.VARIABLE] = order.lock, "\n".join(order.trusted)
        try:
            with naming_extras():
                reports = _taken(
                    name,
                    order.out,
                    order.run_folder,
                    order.workers,
                    order.runner,
                    order.beam,
                    share,
                    send,
                    shrink=order.shrink,
                )
            send({"reports": [report._asdict() for report in reports]})
        except (UsageError, PipelineError, SchemaError, OSError) as error:
            send(
                {"error": message(error), "final": not isinstance(error, TransientError | OSError)}
            )


def _taken(
    chain: str,
    out: str,
    run: str,
    workers: int,
    runner: str,
    beam: Sequence[str],
    part: str,
    send: Callable[[dict[str, Any]], None],
    *,
    shrink: bool,
) -> "list[StepReport]":
    from flows.build.order import step_name
    from flows.build.run_stage import WHOLE, UnitShare, watched
    from flows.build.run_step import new_run, run_steps
    from pipelines.beam.options import check_engine, engine_of
    from pipelines.storage.lock import hold
    from pipelines.storage.store import Store
    from pipelines.trust.build_folder import check_folder

    names = [step_name(name, lambda said: typer.echo(said, err=True)) for name in chain.split(",")]
    share, engine = UnitShare.parse(part) if part else WHOLE, engine_of(workers, runner, beam)
    check_engine(engine, out)
    check_folder(Store(out))  # the lock lies in it, too

    with hold(Store(out), f"obbligato step {','.join(names)}") as lock:
        watch = watched(lambda state: send({"progress": state._asdict()}), lock)
        return run_steps(names, out, engine, run or new_run(), watch, share, shrink=shrink)
