"""`obbligato predictors`: learned predictors of what captions leave open."""

from typing import Annotated

import typer

from flows.errors import UsageError


def predictors(
    shards: Annotated[
        list[str] | None,
        typer.Argument(help="Builds, folders of shards, globs or URLs to learn from."),
    ] = None,
    out: Annotated[str, typer.Option("--out", help="Folder for the predictors.")] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="One knob of the predictors' recipe, as section.key=value. Repeatable."
        ),
    ] = None,
    printed: Annotated[
        bool, typer.Option("--print", help="Print the recipe with a comment per knob instead.")
    ] = False,
) -> None:
    """Train predictors of the tempo, meter, mode and chords that a caption leaves open. Minutes on
    a CPU.
    """
    from flows.build.recipe_files import laid_over, recipe_toml, validated_as
    from training.control_predictors.learning import learn
    from training.control_predictors.recipe import PredictorRecipe

    values = laid_over(PredictorRecipe().model_dump(mode="json"), settings or [])
    if shards:
        values["data"]["shards"] = shards
    chosen = validated_as(
        PredictorRecipe, values, "`obbligato predictors --print` prints every knob"
    )
    if printed:
        typer.echo(recipe_toml(chosen, comments=True))
        return
    if not out:
        raise UsageError("--out is missing: the folder that the predictors go to")
    made = learn(chosen, out, typer.echo)
    for part, (before, after) in made.losses.items():
        typer.echo(
            f"{part:7} loss on validation {before:.3f} as the corpus has it, {after:.3f} learned"
        )
    typer.echo(f"done: {made.checkpoint}")
