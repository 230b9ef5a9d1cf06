"""`obbligato forget`: songs out of a build for good."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Build, Json, print_json, watching
from flows.errors import UsageError


def forget(
    build: Build,
    songs: Annotated[
        list[str],
        typer.Argument(
            metavar="SONG", help="A song's id, the key of one of its clips or samples, or its file."
        ),
    ],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger's entry.")] = "",
    who: Annotated[
        str, typer.Option("--who", help="Who asks. [default: your login]", show_default=False)
    ] = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Let forgotten songs in again, by their ids.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take songs out of a build for good, with variants, latents, labels, captions and corrections,
    and out of its tables, indexes and versions.

    All else stays as it is, byte for byte. Every file is searched afterwards. An entry in the
    ledger keeps them from coming back while their files are still listed; `--undo` removes it.
    """
    from flows.build.local import forget as take_out
    from flows.screens.report.write import remove_report
    from pipelines.beam.options import Engine

    if undo:
        _let_in(build, songs, as_json)
        return
    if "://" not in build:
        remove_report(Path(build) / "report")  # it shows the songs; it is written anew by `report`
    with watching(as_json) as watch:
        taken = take_out(build, songs, who.strip() or getpass.getuser(), reason, Engine(), watch)
    if as_json:
        print_json(taken._asdict())
    else:
        typer.echo(
            f"forgotten: songs {taken.songs:,}, clips {taken.clips:,}, samples {taken.samples:,}. "
            "An entry in ledger/forgotten.json keeps them out: `obbligato forget --undo` removes it"
        )
    if taken.left:
        shown = ", ".join(taken.left[:5])
        raise UsageError(
            f"{len(taken.left)} files in {build} that are not the build's own still name them: "
            f"{shown}; remove them"
        )
    if not as_json:
        typer.echo("no other file of the build names them")


def _let_in(build: str, songs: list[str], as_json: bool) -> None:
    from pipelines.reports.forget import let_in
    from pipelines.storage.lock import hold
    from pipelines.storage.store import Store

    store = Store(build)
    with hold(store, "obbligato forget"):
        count = let_in(store, songs)
    if as_json:
        print_json({"let_in": count})
    else:
        typer.echo(f"let in: {count:,}; the next build that finds their files takes them in")
