"""The command line; `obbligato --help` lists its commands."""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_captions import app as captions_app
from flows.cli_dead import app as dead_app
from flows.cli_evaluate import evaluate
from flows.cli_pipeline import pipeline
from flows.cli_predict import predictors
from flows.cli_renew import encode, label
from flows.cli_run import serve_steps, step, unlock
from flows.cli_shards import app as shards_app
from flows.cli_train import heeds, sample, train, train_codec
from flows.cli_trust import trust
from flows.errors import UsageError
from flows.screens.plain import guard_streams, message, plain

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Music in, training data whose text can be trusted out.",
)
Out = Annotated[str, typer.Option("--out", help="Folder or URL of the build.")]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        help="A recipe in TOML, or a ready one's name; `obbligato recipe` prints the default.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="One knob of the recipe, as section.key=value. Repeatable."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--map", help="A manifest's column, as ours=theirs, such as uri=ytid. Repeatable."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes.")]


app.add_typer(captions_app, name="captions")
app.add_typer(dead_app, name="dead")
app.add_typer(shards_app, name="shards")
app.command()(label)
app.command()(encode)
app.command()(train)
app.command()(sample)
app.command()(heeds)
app.command(name="train-codec")(train_codec)
app.command()(predictors)
app.command()(evaluate)
app.command()(pipeline)
app.command()(step)
app.command(hidden=True)(serve_steps)
app.command()(unlock)
app.command()(trust)


def _settings(settings: list[str] | None, columns: list[str] | None) -> list[str]:
    pairs = [pair.partition("=") for pair in columns or []]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError("--map expects ours=theirs, such as --map uri=ytid")
    mapped = ", ".join(f'"{ours}" = "{theirs}"' for ours, _, theirs in pairs)
    return [*(settings or []), *([f"ingest.column_map={{{mapped}}}"] if mapped else [])]


@app.command()
def build(
    sources: Annotated[
        list[str], typer.Argument(help="Folders, globs, files, manifests or shards; paths or URLs.")
    ],
    out: Out,
    recipe: RecipeFile = None,
    settings: Settings = None,
    columns: Columns = None,
    workers: Workers = 1,
    runner: Annotated[str, typer.Option(help="local, or the name of a Beam runner.")] = "local",
    beam: Annotated[
        list[str] | None,
        typer.Option("--beam", help="An option of the runner, as name=value. Repeatable."),
    ] = None,
    slices: Annotated[
        int,
        typer.Option(
            min=1, help="Shares of each stage, side by side: two at a time, or on a Dask cluster."
        ),
    ] = 1,
    dask: Annotated[
        str, typer.Option(help="Address of a Dask scheduler whose workers take the slices.")
    ] = "",
    shrink: Annotated[
        bool,
        typer.Option(
            "--shrink", help="Let many songs go that an earlier build has; else it stops."
        ),
    ] = False,
) -> None:
    """Build a dataset from music; run again, it finishes what is unfinished or stale."""
    from flows.build.local import build as run_build
    from flows.build.recipe_files import load_recipe
    from flows.screens.terminal import print_dataset, watching
    from pipelines.beam.options import engine_of
    from pipelines.shards.find import DATASET
    from pipelines.storage.store import Store

    chosen = load_recipe(recipe, _settings(settings, columns))
    if slices > 1 or dask:
        from flows.deployments.build_corpus import EngineSettings, build_corpus
        from flows.deployments.own_server import guard_own_server
        from pipelines.extras import require

        if dask:
            require("prefect_dask")
        guard_own_server()
        engine = EngineSettings(
            workers=workers, runner=runner, beam=tuple(beam or ()), slices=slices, dask=dask
        )
        build_corpus(sources, out, chosen, engine, shrink=shrink)
        dataset = Store(out).read_json(DATASET)
    else:
        with watching() as watch:
            dataset = run_build(
                sources, out, chosen, engine_of(workers, runner, beam or []), watch, shrink=shrink
            )
    print_dataset(dataset, out)


@app.command()
def recipe(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A recipe to complete and print, or a ready one's name; none for the default."
        ),
    ] = None,
    settings: Settings = None,
    list_ready: Annotated[
        bool, typer.Option("--list", help="List the ready recipes instead.")
    ] = False,
) -> None:
    """Print a recipe with a comment per knob."""
    from flows.build.recipe_files import (
        load_recipe,
        ready_recipes,
        recipe_notes,
        recipe_text,
        recipe_toml,
    )

    if list_ready:
        for name, line in ready_recipes().items():
            typer.echo(f"{name:12}{line}")
        return
    chosen = load_recipe(file, settings or [])
    typer.echo(
        recipe_toml(chosen, comments=True, notes=recipe_notes(recipe_text(file)) if file else None)
    )


@app.command()
def plan(
    sources: Annotated[list[str], typer.Argument(help="As for build.")],
    recipe: RecipeFile = None,
    settings: Settings = None,
    columns: Columns = None,
    as_json: Json = False,
) -> None:
    """Say what a build would do, from file headers, without doing it."""
    from flows.build.recipe_files import load_recipe
    from flows.screens.terminal import print_plan
    from pipelines.inputs.listing import list_inputs
    from pipelines.reports.plan import plan_build

    chosen = load_recipe(recipe, _settings(settings, columns))
    found = plan_build(list_inputs(sources, chosen.ingest), chosen)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        print_plan(found)


@app.command()
def annotate(
    files: Annotated[list[str], typer.Argument(help="Audio files; each is labelled whole.")],
    recipe: RecipeFile = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Print the labels of audio files, as a lead sheet or as JSON lines."""
    from flows.build.recipe_files import load_recipe
    from pipelines.labels.lead_sheet import heading, lead_sheet
    from pipelines.reports.annotate_files import annotate_files

    failed = False
    for path, labels, problem in annotate_files(files, load_recipe(recipe, settings or [])):
        failed = failed or labels is None
        if as_json:
            said = (
                f'"labels": {labels.model_dump_json()}'
                if labels
                else f'"error": {json.dumps(problem)}'
            )
            typer.echo(f'{{"file": {json.dumps(path)}, {said}}}')
        elif labels is None:
            typer.echo(message(f"{path}: {problem}"), err=True)
        else:
            typer.echo("\n".join((plain(path), f"     {heading(labels)}", *lead_sheet(labels), "")))
    if failed:
        raise typer.Exit(1)


@app.command()
def verify(
    out: Annotated[str, typer.Argument(help="Folder or URL of a build.")],
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Read a build back whole: checksums, contract, identities, splits, and labels extracted
    again.
    """
    from flows.build.local import verify_build
    from flows.screens.terminal import print_dataset, watching
    from pipelines.beam.options import Engine
    from pipelines.reports.damage import NotWhole

    try:
        with watching() as watch:
            dataset = verify_build(out, Engine(workers), watch)
    except NotWhole as damage:
        for line in damage.lines:
            typer.echo(line, err=True)
        raise
    if as_json:
        typer.echo(json.dumps(dataset))
    else:
        print_dataset(dataset, out)
        typer.echo(
            "verified: every shard is whole, every sample keeps the contract, both identities "
            "hold, no group stands in two splits"
        )


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder for the songs and the corpus.")],
    songs: Annotated[int, typer.Option(min=3, help="Pieces to compose.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pieces.")] = 0,
    workers: Workers = 1,
) -> None:
    """Compose a dozen pieces, build a corpus from them, and say how well each label was recovered.
    Needs no download.
    """
    from flows.build.demo import run_demo
    from flows.screens.terminal import print_dataset, print_recovery, watching
    from pipelines.beam.options import Engine

    with watching() as watch:
        made = run_demo(out, songs, seed, Engine(workers), watch)
    print_recovery(made.recovery)
    print_dataset(made.dataset, made.out)


def main() -> None:
    """Entry point: errors meant for the reader are one plain line, and exit status 1 (or 2 for
    wrong usage and for an extra that is not installed).
    """
    from pipelines.errors import PipelineError
    from pipelines.extras import MissingExtra, naming_extras
    from schemas.errors import SchemaError
    from training.errors import TrainingError

    guard_streams()
    logging.getLogger().setLevel(
        logging.ERROR
    )  # Beam warns of cloud libraries that nobody asked for
    try:
        with naming_extras():
            app()
    except (UsageError, MissingExtra) as error:
        typer.echo(f"obbligato: {message(error)}", err=True)
        sys.exit(2)
    except (PipelineError, SchemaError, TrainingError, OSError) as error:
        typer.echo(f"obbligato: {message(error)}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
