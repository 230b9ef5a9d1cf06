"""`obbligato demo | build | plan | verify | recipe | annotate`: from music to a build."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    Beam,
    Build,
    Columns,
    Json,
    JsonLines,
    RecipeFile,
    Runner,
    Settings,
    Shrink,
    Sources,
    Workers,
    print_build,
    print_json,
    ready_recipe_names,
    watching,
    with_columns,
    written,
)
from flows.cli.renamed import report_renamed
from flows.errors import UsageError
from flows.screens.plain import message, plain


def demo(
    folder: Annotated[str, typer.Argument(hidden=True)] = "",
    out: Annotated[Path, written("Folder for the songs and the corpus.")] = Path("demo"),
    songs: Annotated[int, typer.Option(min=3, help="Pieces to compose.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pieces.")] = 0,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Compose a dozen pieces, build a corpus from them, and say how well each label was recovered.

    Needs no download.
    """
    from flows.build.demo import run_demo
    from flows.screens.terminal import print_recovery
    from pipelines.beam.options import Engine

    if folder:
        report_renamed(f"demo {folder}", f"demo --out {folder}")
        out = Path(folder)
    with watching(as_json) as watch:
        made = run_demo(out, songs, seed, Engine(workers), watch)
    if as_json:
        recovery = made.recovery.model_dump(mode="json")
        print_json({"out": made.out, "dataset": made.dataset.as_json(), "recovery": recovery})
        return
    print_recovery(made.recovery)
    print_build(made.dataset, made.out, as_json)


def build(
    sources: Sources,
    out: Annotated[str, written("Folder or URL of the build.", "BUILD")],
    recipe: RecipeFile = None,
    settings: Settings = None,
    columns: Columns = None,
    workers: Workers = 1,
    runner: Runner = "local",
    beam: Beam = None,
    slices: Annotated[
        int,
        typer.Option(
            min=1, help="Shares of each stage, side by side: two at a time, or on a Dask cluster."
        ),
    ] = 1,
    dask: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers take the slices.")
    ] = "",
    shrink: Shrink = False,
    as_json: Json = False,
) -> None:
    """Build a dataset from music; run again, it finishes what is unfinished or stale."""
    from flows.build.local import build as run_build
    from flows.build.recipe_files import load_recipe
    from pipelines.beam.options import engine_of
    from pipelines.stages.output.close import stated_dataset
    from pipelines.storage.store import Store

    chosen = load_recipe(recipe, with_columns(settings, columns))
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
        dataset = stated_dataset(Store(out))
    else:
        with watching(as_json) as watch:
            dataset = run_build(
                sources, out, chosen, engine_of(workers, runner, beam or []), watch, shrink=shrink
            )
    print_build(dataset, out, as_json)


def recipe(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE|NAME",
            help="A recipe to complete and print, or a ready one's name; none for the default.",
            autocompletion=ready_recipe_names,
        ),
    ] = None,
    settings: Settings = None,
    list_ready: Annotated[
        bool, typer.Option("--list", help="List the ready recipes instead.")
    ] = False,
    as_json: Json = False,
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
        ready = ready_recipes()
        lines = (
            [json.dumps(ready)] if as_json else [f"{name:12}{line}" for name, line in ready.items()]
        )
        typer.echo("\n".join(lines))
        return
    chosen = load_recipe(file, settings or [])
    if as_json:
        typer.echo(chosen.model_dump_json())
        return
    notes = recipe_notes(recipe_text(file)) if file else None
    typer.echo(recipe_toml(chosen, comments=True, notes=notes))


def plan(
    sources: Sources,
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

    chosen = load_recipe(recipe, with_columns(settings, columns))
    found = plan_build(list_inputs(sources, chosen.ingest), chosen)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        print_plan(found)


def annotate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Audio files; each is labelled whole.")
    ],
    recipe: RecipeFile = None,
    settings: Settings = None,
    as_json: JsonLines = False,
) -> None:
    """Print the labels of audio files, as a lead sheet or as JSON lines."""
    from flows.build.recipe_files import load_recipe
    from pipelines.labels.lead_sheet import heading, lead_sheet
    from pipelines.reports.annotate_files import annotate_files

    for path in files:
        _check_is_file(path)
    failed = False
    for path, labels, problem in annotate_files(files, load_recipe(recipe, settings or [])):
        failed = failed or labels is None
        if as_json:
            fields = (
                f'"labels": {labels.model_dump_json()}'
                if labels
                else f'"error": {json.dumps(problem)}'
            )
            typer.echo(f'{{"file": {json.dumps(path)}, {fields}}}')
        elif labels is None:
            typer.echo(message(f"{path}: {problem}"), err=True)
        else:
            typer.echo("\n".join((plain(path), f"     {heading(labels)}", *lead_sheet(labels), "")))
    if failed:
        raise typer.Exit(1)


def _check_is_file(path: str) -> None:
    """Raise `UsageError` for a folder, and for a pattern that the shell has not replaced; whatever
    else cannot be read is said in its turn.
    """
    if Path(path).is_dir():
        raise UsageError(
            f"{path} is a folder: name its files, as in {path.rstrip('/')}/*.flac, or build a "
            f"dataset of it by obbligato build {path}"
        )
    if any(sign in path for sign in "*?[") and not Path(path).exists():
        raise UsageError(
            f"{path} is a pattern: leave its quotes away, so that the shell names the files; "
            "or no file matches"
        )


def verify(build: Build, workers: Workers = 1, as_json: Json = False) -> None:
    """Read a build back whole: checksums, contract, identities, splits, and labels extracted
    again.
    """
    from flows.build.local import verify_build
    from pipelines.beam.options import Engine
    from pipelines.reports.damage import NotWhole

    try:
        with watching(as_json) as watch:
            dataset = verify_build(build, Engine(workers), watch)
    except NotWhole as damage:
        for line in damage.lines:
            typer.echo(line, err=True)
        raise
    print_build(dataset, build, as_json)
    if not as_json:
        typer.echo(
            "verified: every shard is whole, every sample keeps the contract, both identities "
            "hold, no group stands in two splits"
        )
