"""`obbligato pipeline`: from music to a model that has been measured, in one command."""

from pathlib import Path
from typing import Annotated

import typer


def pipeline(
    sources: Annotated[list[str], typer.Argument(help="As for build.")],
    out: Annotated[
        str,
        typer.Option(
            "--out", help="Folder of corpus, model and report. Again, it goes on where it was."
        ),
    ],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="A recipe in TOML, or a ready one's name.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One knob of the recipe, as section.key=value. Repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes of the build.")] = 1,
    preset: Annotated[str, typer.Option(help="Of training: tiny, small, base or n2m.")] = "tiny",
    train: Annotated[
        list[str] | None,
        typer.Option(
            "--train", help="One knob of the training recipe, as section.key=value. Repeatable."
        ),
    ] = None,
    launcher: Annotated[
        str, typer.Option(help="Where it is trained: local, slurm or kubernetes.")
    ] = "local",
    processes: Annotated[int, typer.Option(min=1, help="That train, on each node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines that train.")] = 1,
    launch: Annotated[
        list[str] | None,
        typer.Option("--launch", help="A setting of the launcher, as key=value. Repeatable."),
    ] = None,
    evaluation: Annotated[
        list[str] | None,
        typer.Option("--evaluate", help="One more option of `evaluate`, as --show=20."),
    ] = None,
) -> None:
    """Build a corpus, train a model on it, and measure whether it plays what is asked."""
    from flows.build.recipe_files import load_recipe
    from flows.deployments.build_corpus import EngineSettings
    from flows.deployments.own_server import guard_own_server
    from flows.deployments.pipeline import pipeline as run_pipeline
    from flows.launchers.command import launching_of

    guard_own_server()
    made = run_pipeline(
        sources,
        out,
        load_recipe(recipe, settings or []),
        EngineSettings(workers=workers),
        preset=preset,
        settings=tuple(train or ()),
        launching=launching_of(launcher, processes, nodes, launch or []),
        evaluation=tuple(evaluation or ()),
    )
    report = made["report"] or "none, the model is elsewhere"
    typer.echo(
        f"corpus:  {made['corpus']['out']}\nmodel:   {made['model']['out']}\nreport:  {report}"
    )
