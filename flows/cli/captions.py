"""`obbligato captions quote`, `facts`, `vocabulary`: costs of rewording, stated facts, texts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Build, Columns, Force, Json, Settings, written
from flows.cli.renamed import Renamed
from flows.errors import UsageError

if TYPE_CHECKING:
    from pipelines.vocabularies.gather import Gathered

app = typer.Typer(
    no_args_is_help=True, help="Say what rewording costs, or what texts state; gather vocabularies."
)


@app.command("quote")
def show_quote(
    build: Build,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Say how many calls, tokens and dollars a language model would take, before anything is
    spent.
    """
    from flows.build.recipe_files import overridden
    from flows.build.run_step import stored_build
    from flows.screens.terminal import print_quote
    from pipelines.paraphrasing.quote import quote
    from pipelines.storage.store import Store

    _, recipe = stored_build(build)
    found = quote(Store(build), overridden(recipe, settings or []))
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        print_quote(found)


@app.command()
def facts(
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Captions.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="A text file with a caption per line."),
    ] = None,
) -> None:
    """Print the musical facts that captions state, as JSON lines."""
    from pipelines.captioning.facts import parse_facts

    lines = [*(texts or []), *(file.read_text().splitlines() if file else [])]
    for text in lines:
        stated = [fact.model_dump(mode="json") for fact in parse_facts(text)]
        typer.echo(json.dumps({"text": text, "facts": stated}, ensure_ascii=False))


@app.command(cls=Renamed)
def vocabulary(
    captions: Annotated[
        list[str] | None,
        typer.Argument(metavar="TABLE", help="Tables with captions, tags or both."),
    ] = None,
    *,
    titles: Annotated[
        list[str] | None,
        typer.Option(
            "--titles",
            metavar="TABLE",
            help="A table with titles, artists, albums, to ask a model about. Repeatable.",
        ),
    ] = None,
    out: Annotated[
        str,
        written("File or URL: .parquet or .jsonl. A model's answers are kept beside it.", "FILE"),
    ],
    columns: Columns = None,
    source: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the source; none for each table's own.")
    ] = "",
    licence: Annotated[str, typer.Option(help="Licence of texts whose row states none.")] = "",
    per_track: Annotated[
        int, typer.Option(min=1, max=20, help="Sentences to ask a model for, per track.")
    ] = 3,
    keep_facts: Annotated[
        bool,
        typer.Option(
            "--keep-facts",
            help=(
                "Keep texts that state tempo, meter, key, chords or times, which no embedding "
                "can confirm."
            ),
        ),
    ] = False,
    settings: Settings = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Gather sentences and tags to label audio with: from captioned tables, and by a language model
    from titles and artists.
    """
    from flows.build.recipe_files import load_recipe
    from pipelines.vocabularies.gather import TextOrigin, check_target, gather, write_vocabulary

    if not captions and not titles:
        raise UsageError("nothing to gather from: name a table with captions, or one with --titles")
    gathered = gather(
        captions or [],
        titles or [],
        columns=_columns(columns or []),
        origin=TextOrigin(source, licence),
        per_track=per_track,
        keep_facts=keep_facts,
        llm=load_recipe(None, settings or []).llm,
        store=check_target(out, force=force),
    )
    write_vocabulary(out, gathered.entries)
    if as_json:
        typer.echo(
            json.dumps({"file": out, **gathered.counts.model_dump(), "model": gathered.spent})
        )
    else:
        _print_vocabulary(gathered, out)


def _columns(pairs: list[str]) -> dict[str, str]:
    """Columns of tables by our names."""
    from pipelines.vocabularies.tables import COLUMNS

    out: dict[str, str] = {}
    for pair in pairs:
        ours, _, theirs = pair.partition("=")
        if ours not in COLUMNS or not theirs:
            raise UsageError(
                f"--map {pair}: expected ours=theirs, where ours is {', '.join(COLUMNS)}"
            )
        out[ours] = theirs
    return out


def _print_vocabulary(gathered: "Gathered", out: str) -> None:
    """What became of all texts, by form and reason; what a model was paid."""
    from rich.table import Table

    from flows.screens.plain import plain
    from flows.screens.terminal import console

    counts, spent = gathered.counts, gathered.spent
    table = Table("", "long", "short", box=None)
    reasons = sorted(counts.long.dropped.keys() | counts.short.dropped.keys())
    for name in ("texts", "kept", "duplicate"):
        table.add_row(name, *(f"{getattr(form, name):,}" for form in (counts.long, counts.short)))
    for reason in reasons:
        table.add_row(
            f"dropped: {reason}",
            *(f"{form.dropped.get(reason, 0):,}" for form in (counts.long, counts.short)),
        )
    console.print(table)
    unused = "".join(f", {count:,} {reason}" for reason, count in counts.unused.items())
    console.print(plain(f"rows: {counts.rows:,} read{unused}"))
    if spent:
        calls = ", ".join(f"{count:,} {name}" for name, count in spent["calls"].items())
        console.print(
            f"model: {calls}; ${spent['usd']:.4f} now, ${spent['usd_in_all']:.4f} in all",
            soft_wrap=True,
        )
    console.print(plain(f"{len(gathered.entries):,} entries written to {out}"), soft_wrap=True)
