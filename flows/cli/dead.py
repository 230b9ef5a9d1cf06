"""`obbligato dead ls | show | retry`: what a build could not use, why, and doing it again."""

from typing import Annotated

import typer

from flows.cli.options import Build, Json, JsonLines, Workers, print_build, watching
from flows.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Look at what a build could not use, and do it again.")


@app.command("ls")
def list_dead(
    build: Build,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="What the filter's rules rejected, too.")
    ] = False,
    as_json: JsonLines = False,
) -> None:
    """List the dead: stage, code, figure, and where each came from."""
    from flows.screens.terminal import print_ledger
    from pipelines.reports.ledger import ledger_rows
    from pipelines.storage.store import Store
    from pipelines.trust.build_folder import check_files
    from schemas.corpus import Outcome

    check_files(Store(build))
    rows = ledger_rows(Store(build), [Outcome.DEAD, *([Outcome.REJECTED] if rejected else [])])
    if as_json:
        for row in rows:
            typer.echo(row.model_dump_json())
    else:
        print_ledger(rows)


@app.command()
def show(
    build: Build,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Key of an input or sample, or the start of one.")
    ],
    as_json: JsonLines = False,
) -> None:
    """Show every ledger row of a key, whole: as indented JSON, or one JSON object a line."""
    from pipelines.reports.ledger import ledger_rows
    from pipelines.storage.store import Store
    from pipelines.trust.build_folder import check_files
    from schemas.corpus import Outcome

    check_files(Store(build))
    rows = [row for row in ledger_rows(Store(build), list(Outcome)) if row.key.startswith(key)]
    if not rows:
        raise UsageError(f"no ledger row of {build} has a key that starts with {key!r}")
    for row in rows:
        typer.echo(row.model_dump_json(indent=None if as_json else 1))


@app.command()
def retry(
    build: Build,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Keys as `dead ls` prints them; none for all."),
    ] = None,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Do the dead again with the stored recipe and sources; their rows in the ledger are
    replaced.
    """
    from flows.build.local import retry as run_retry
    from pipelines.beam.options import Engine

    with watching(as_json) as watch:
        dataset = run_retry(build, keys or [], Engine(workers), watch)
    print_build(dataset, build, as_json)
