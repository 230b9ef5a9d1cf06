"""`obbligato step` and `obbligato unlock`: single steps of a build for schedulers, and a lock that must go."""

import json
from typing import Annotated

import typer

from flows.errors import UsageError

Out = Annotated[str, typer.Option("--out", help="Folder or URL of the build.")]


def step(
    name: Annotated[str, typer.Argument(help="list, ingest, cut, settle, annotate, filter, vary, caption, pack, verify or close.")],
    out: Out,
    run: Annotated[str, typer.Option(help="Folder of the run's reports inside OUT; without, a new one.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    runner: Annotated[str, typer.Option(help="local, or the name of a Beam runner.")] = "local",
    beam: Annotated[list[str] | None, typer.Option("--beam", help="An option of the runner, as name=value. Repeatable.")] = None,
    part: Annotated[str, typer.Option("--slice", help="Only this share of the step's buckets, as 1/4.")] = "",
) -> None:
    """Take one step of a build that has begun. Prints JSON lines: progress, then what was done."""
    from flows.steps import STEPS, WHOLE, Share, StepProgress, new_run, run_step
    from pipelines.beam.options import engine_of
    from pipelines.isolation import CHILDREN
    from pipelines.lock import hold
    from pipelines.store import Store

    if name not in STEPS:
        raise UsageError(f"{name} is no step: expected {', '.join(STEPS)}")

    share = Share.parse(part) if part else WHOLE

    def watch(state: StepProgress) -> None:
        typer.echo(json.dumps({"progress": state._asdict()}))

    with hold(Store(out), f"obbligato step {name}"):
        try:
            report = run_step(name, out, engine_of(workers, runner, beam or []), run or new_run(), watch, share)
        finally:
            CHILDREN.close()
    typer.echo(json.dumps({"report": report._asdict()}))


def unlock(out: Annotated[str, typer.Argument(help="Folder or URL of the build.")]) -> None:
    """Remove the lock of a run that is surely dead."""
    from pipelines.lock import break_lock
    from pipelines.store import Store

    holder = break_lock(Store(out))
    typer.echo(f"removed the lock of {holder}" if holder else f"{out} is not locked")
