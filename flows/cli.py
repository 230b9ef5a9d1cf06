"""The command line: `obbligato build`, `annotate`, `verify`, `recipe`, `plan`, `shards`, `dead`, `demo`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.errors import UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Music in, training data whose text can be trusted out.")
Out = Annotated[str, typer.Option("--out", help="Folder or URL of the build.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A recipe in TOML; `obbligato recipe` prints the default.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="One knob of the recipe, as section.key=value. Repeatable.")]
Columns = Annotated[list[str] | None, typer.Option("--map", help="A manifest's column, as ours=theirs, such as uri=ytid. Repeatable.")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes.")]


def _settings(settings: list[str] | None, columns: list[str] | None) -> list[str]:
    pairs = [pair.partition("=") for pair in columns or []]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError("--map expects ours=theirs, such as --map uri=ytid")
    mapped = ", ".join(f'"{ours}" = "{theirs}"' for ours, _, theirs in pairs)
    return [*(settings or []), *([f"ingest.column_map={{{mapped}}}"] if mapped else [])]


@app.command()
def build(
    sources: Annotated[list[str], typer.Argument(help="Folders, globs, files, manifests or shards; paths or URLs.")],
    out: Out,
    recipe: RecipeFile = None,
    settings: Settings = None,
    columns: Columns = None,
    workers: Workers = 1,
    runner: Annotated[str, typer.Option(help="local, or the name of a Beam runner.")] = "local",
    beam: Annotated[list[str] | None, typer.Option("--beam", help="An option of the runner, as name=value. Repeatable.")] = None,
) -> None:
    """Build a dataset from music; run again, it finishes what is unfinished or stale."""
    from flows.build import Engine
    from flows.build import build as run_build
    from flows.screen import print_dataset, watching
    from flows.settings import load_recipe

    engine = Engine(workers, "FnApiRunner" if runner == "local" else runner, tuple(f"--{option}" for option in beam or []))
    with watching() as watch:
        dataset = run_build(sources, out, load_recipe(recipe, _settings(settings, columns)), engine, watch)
    print_dataset(dataset, out)


@app.command()
def recipe(file: Annotated[Path | None, typer.Argument(help="A recipe to complete and print; none for the default.")] = None, settings: Settings = None) -> None:
    """Print a recipe with a comment per knob."""
    from flows.settings import load_recipe, recipe_toml

    typer.echo(recipe_toml(load_recipe(file, settings or []), comments=True))


def main() -> None:
    """Entry point: errors meant for the reader are one line, and exit status 1 (or 2 for wrong usage)."""
    from pipelines.errors import PipelineError
    from schemas.errors import SchemaError

    try:
        app()
    except UsageError as error:
        typer.echo(f"obbligato: {error}", err=True)
        sys.exit(2)
    except (PipelineError, SchemaError) as error:
        typer.echo(f"obbligato: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
