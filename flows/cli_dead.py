"""`obbligato dead ls | show | retry`: what a build could not use, why, and doing it again."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Inputs and samples that a build could not use.")
Out = Annotated[str, typer.Argument(help="Folder or URL of a build.")]


@app.command("ls")
def list_dead(
    out: Out,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="What the filter's rules rejected, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List the dead: stage, code, figure, and where each came from."""
    from flows.screens.terminal import print_ledger
    from pipelines.reports.ledger import ledger_rows
    from pipelines.storage.store import Store
    from pipelines.trust.build_folder import check_files
    from schemas.corpus import Outcome

    check_files(Store(out))
    rows = ledger_rows(Store(out), [Outcome.DEAD, *([Outcome.REJECTED] if rejected else [])])
    if as_json:
        for row in rows:
            typer.echo(row.model_dump_json())
    else:
        print_ledger(rows)


@app.command()
def show(
    out: Out,
    key: Annotated[str, typer.Argument(help="Key of an input or sample, or the start of one.")],
) -> None:
    """Show every ledger row of a key, whole."""
    from flows.errors import UsageError
    from pipelines.reports.ledger import ledger_rows
    from pipelines.storage.store import Store
    from pipelines.trust.build_folder import check_files
    from schemas.corpus import Outcome

    check_files(Store(out))
    rows = [row for row in ledger_rows(Store(out), list(Outcome)) if row.key.startswith(key)]
    if not rows:
        raise UsageError(f"no ledger row of {out} has a key that starts with {key!r}")
    for row in rows:
        typer.echo(row.model_dump_json(indent=1))


@app.command()
def retry(
    out: Out,
    keys: Annotated[
        list[str] | None, typer.Argument(help="Keys as `dead ls` prints them; none for all.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
) -> None:
    """Do the dead again with the stored recipe and sources; their rows in the ledger are
    replaced.
    """
    from flows.build.local import retry as run_retry
    from flows.screens.terminal import print_dataset, watching
    from pipelines.beam.options import Engine

    with watching() as watch:
        dataset = run_retry(out, keys or [], Engine(workers), watch)
    print_dataset(dataset, out)
