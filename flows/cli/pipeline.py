"""`obbligato pipeline`: from music to a model that has been measured, in one command."""

from typing import Annotated

import typer

from flows.cli.options import (
    KNOB,
    Json,
    Launch,
    Nodes,
    Preset,
    Processes,
    RecipeFile,
    Settings,
    Sources,
    Workers,
    print_json,
    written,
)
from flows.cli.renamed import evaluation_settings


def pipeline(
    sources: Sources,
    out: Annotated[
        str, written("Folder of corpus, model and report. Again, it goes on where it was.")
    ],
    recipe: RecipeFile = None,
    settings: Settings = None,
    workers: Workers = 1,
    preset: Preset = "tiny",
    train: Annotated[
        list[str] | None,
        typer.Option(
            "--train", metavar="KNOB=VALUE", help=KNOB.replace("the recipe", "the training recipe")
        ),
    ] = None,
    launcher: Annotated[
        str, typer.Option(help="Where it is trained: local, slurm or kubernetes.")
    ] = "local",
    processes: Processes = 1,
    nodes: Nodes = 1,
    launch: Launch = None,
    evaluation: Annotated[
        list[str] | None,
        typer.Option(
            "--evaluate",
            metavar="KEY=VALUE",
            help=(
                "An option of `evaluate`, as show=20 or swaps=false, or a knob of what listens, "
                "as annotate.device=cuda. Repeatable."
            ),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a corpus, train a model on it, and measure whether it plays what is asked."""
    from flows.build.recipe_files import load_recipe
    from flows.deployments.build_corpus import EngineSettings
    from flows.deployments.own_server import guard_own_server
    from flows.deployments.pipeline import pipeline as run_pipeline
    from flows.launchers.command import launching_of
    from flows.models.evaluation import evaluation_choice

    evaluated_by = evaluation_choice(list(evaluation_settings(evaluation or [])))
    guard_own_server()
    made = run_pipeline(
        sources,
        out,
        load_recipe(recipe, settings or []),
        EngineSettings(workers=workers),
        preset=preset,
        settings=tuple(train or ()),
        launching=launching_of(launcher, processes, nodes, launch or []),
        evaluation=evaluated_by,
    )
    if as_json:
        print_json(made)
        return
    report = made["report"] or "none, the model is elsewhere"
    typer.echo(
        f"corpus:  {made['corpus']['out']}\nmodel:   {made['model']['out']}\nreport:  {report}"
    )
