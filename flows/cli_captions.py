"""`obbligato captions quote | facts`: what rewording would cost, and what a text states."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Captions: what rewording them costs, and the facts that texts state.")
Settings = Annotated[list[str] | None, typer.Option("--set", help="One knob of the recipe, as section.key=value. Repeatable.")]


@app.command("quote")
def say_quote(
    out: Annotated[str, typer.Argument(help="Folder or URL of a build whose captions are composed.")],
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say how many calls, tokens and dollars a language model would take, before anything is spent."""
    from flows.screen import print_quote
    from flows.settings import overridden
    from flows.steps import stored_build
    from pipelines.quoting import quote
    from pipelines.store import Store

    _, recipe = stored_build(out)
    found = quote(Store(out), overridden(recipe, settings or []))
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        print_quote(found)


@app.command()
def facts(
    texts: Annotated[list[str] | None, typer.Argument(help="Captions.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A text file with a caption per line.")] = None,
) -> None:
    """Print the musical facts that captions state, as JSON lines."""
    from pipelines.captioning.facts import parse_facts

    lines = [*(texts or []), *(file.read_text().splitlines() if file else [])]
    for text in lines:
        stated = [{"kind": fact.kind.value, "value": fact.value, "sentence": fact.sentence} for fact in parse_facts(text)]
        typer.echo(json.dumps({"text": text, "facts": stated}, ensure_ascii=False))
