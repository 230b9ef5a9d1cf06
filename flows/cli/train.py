"""`obbligato train`, `train codec | vocoder | upsampler | predictors`: models from shards."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from flows.cli.options import (
    Json,
    Launch,
    Nodes,
    Preset,
    Print,
    Processes,
    Settings,
    TrainShards,
    laid_over,
    line_reporter,
    print_json,
    print_recipe,
    required,
    written,
)
from flows.cli.train_excerpts import print_end, train_codec, train_upsampler, train_vocoder
from flows.errors import UsageError

if TYPE_CHECKING:
    from typer._click.shell_completion import CompletionItem

    from flows.models.training_run import TrainingOutcome

# what is trained where no other name is given; never typed: `train model` learns from a folder of
# that name
_MODEL = "model"
_OF_CODES = "tokens-"  # what presets begin with whose models learn codes rather than latents


class Training(TyperGroup):
    """Trains what its first word names; where that is not a name of ours, a model.

    A folder called so is given as ./codec.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """The name of what is trained comes first."""
        if args and (args[0] == _MODEL or args[0] not in self.commands):
            args = [_MODEL, *args]
        if not args and not ctx.resilient_parsing:
            args = [_MODEL, "--help"]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> "list[CompletionItem]":  # type: ignore[override]
        """Names of ours, and options of the model's training."""
        model = self.commands[_MODEL]
        return [*super().shell_complete(ctx, incomplete), *model.shell_complete(ctx, incomplete)]


class Model(TyperCommand):
    """The training of a model, which needs no name."""

    def get_usage(self, ctx: typer.Context) -> str:  # type: ignore[override]
        """Without a name that nobody types."""
        return super().get_usage(ctx).replace(f"train {_MODEL} ", "train ")


app = typer.Typer(
    cls=Training,
    add_help_option=False,
    help="Train a model on shards; or its codec, vocoder, upsampler, or predictors of controls.",
)


@app.command(
    _MODEL,
    cls=Model,
    hidden=True,
    epilog=(
        "`obbligato train codec`, `vocoder`, `upsampler` and `predictors` train what stands around "
        "a model. A folder of that name: ./codec."
    ),
)
def train(
    shards: TrainShards = None,
    out: Annotated[
        str,
        written(
            "Folder of the run: checkpoints and log. Again, it goes on from the last checkpoint.",
            "RUN",
        ),
    ] = "",
    preset: Preset = "",
    start_from: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="RUN|SOURCE",
            help=(
                "Begin with the weights of a run, a checkpoint, or a published model, and go by "
                "its recipe: fine-tuning; with --set adapter.rank=16 a LoRA."
            ),
        ),
    ] = "",
    distil: Annotated[
        str,
        typer.Option(
            "--distil",
            metavar="RUN",
            help=(
                "Make a student of a run: it begins as this, learns to jump along its way, and "
                "plays in 1 to 16 steps. Knobs are distil.solver_steps and others."
            ),
        ),
    ] = "",
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="FILE", help="A training recipe in TOML, laid over the preset."
        ),
    ] = None,
    settings: Settings = None,
    printed: Print = False,
    launcher: Annotated[
        str,
        typer.Option(
            help=(
                "local, slurm or kubernetes: where it runs, and goes on after a stop. Empty: in "
                "this process."
            )
        ),
    ] = "",
    processes: Processes = 1,
    nodes: Nodes = 1,
    launch: Launch = None,
    as_json: Json = False,
) -> None:
    """Train a model on shards.

    SIGTERM ends it with a checkpoint and status 75; the same command goes on.
    """
    from flows.launchers.command import launching_of
    from flows.models.training_run import TrainingRequest, run_training

    if start_from and distil:
        raise UsageError("--from and --distil: a student begins as its teacher; give one of them")
    launched = bool(launcher or launch or processes * nodes > 1)
    if preset.startswith(_OF_CODES):
        given = {"--from": start_from, "--distil": distil, "--recipe": recipe}
        _check_own_knobs(preset, {**given, "--processes and launchers": launched})
        _train_tokens(shards, out, preset, settings, printed=printed, as_json=as_json)
        return
    request = TrainingRequest(
        shards=tuple(shards or ()),
        out=out,
        preset=preset,
        start_from=start_from,
        distil=distil,
        recipe_file=recipe,
        settings=tuple(settings or ()),
        launching=launching_of(launcher or "local", processes, nodes, launch or [])
        if launched
        else None,
    )
    if printed:
        print_recipe(request.recipe, as_json)
        return
    required(out, "checkpoints and the log")
    outcome = run_training(request, line_reporter(as_json))
    if as_json and outcome.is_first:
        print_json(outcome.model_dump(mode="json", exclude={"is_first"}))
    elif outcome.is_first and not launched:  # a job's own processes have said it
        _print_outcome(outcome)
    if outcome.status:
        raise typer.Exit(outcome.status)


def _check_own_knobs(preset: str, given: Mapping[str, object]) -> None:
    """Raise `UsageError` for options that a model of codes does not go by."""
    refused = [flag for flag, value in given.items() if value]
    if refused:
        raise UsageError(
            f"{', '.join(refused)}: {preset} is trained from its preset and --set alone; several "
            "processes by `torchrun`"
        )


def _train_tokens(
    shards: list[str] | None,
    out: str,
    preset: str,
    settings: list[str] | None,
    *,
    printed: bool,
    as_json: bool,
) -> None:
    from flows.screens.model_files import write_model_card
    from training.tokens.recipe import ready_tokens
    from training.tokens.training import train_tokens

    recipe = laid_over(ready_tokens(preset), shards, settings, f"train --preset {preset}")
    if printed:
        print_recipe(recipe, as_json)
        return
    folder, report = required(out, "checkpoints and the log"), line_reporter(as_json)
    made = train_tokens(recipe, folder, report, at_end=lambda: write_model_card(folder))
    use = f"listen:  {{}} sample --model {out} --of song.flac --keep beats"
    print_end(made, {"out": out, **made._asdict()}, use, as_json=as_json)


def _print_outcome(outcome: "TrainingOutcome") -> None:
    from flows.screens.program import command_name

    typer.echo(
        f"{'stopped' if outcome.stopped else 'done'} at step {outcome.step}: {outcome.checkpoint}"
    )
    if not outcome.stopped:
        typer.echo(f"what it is:  {outcome.out}/README.md")
        typer.echo(
            f'listen:  {command_name()} sample "A calm song in A minor at 90 BPM" --model '
            f"{outcome.out}"
        )


app.command("codec")(train_codec)
app.command("vocoder")(train_vocoder)
app.command("upsampler")(train_upsampler)


@app.command("predictors")
def train_predictors(
    shards: TrainShards = None,
    out: Annotated[str, written("Folder for the predictors.")] = "",
    settings: Settings = None,
    printed: Print = False,
    as_json: Json = False,
) -> None:
    """Train predictors of the tempo, meter, mode and chords that a caption leaves open.

    Minutes on a CPU.
    """
    from training.control_predictors.learning import learn
    from training.control_predictors.recipe import PredictorRecipe

    chosen = laid_over(PredictorRecipe(), shards, settings, "train predictors")
    if printed:
        print_recipe(chosen, as_json)
        return
    made = learn(chosen, required(out, "predictors"), line_reporter(as_json))
    if as_json:
        losses = {
            part: {"before": _finite(before), "after": _finite(after)}
            for part, (before, after) in made.losses.items()
        }
        print_json({"out": out, "checkpoint": made.checkpoint, "losses": losses})
        return
    for part, (before, after) in made.losses.items():
        typer.echo(
            f"{part:7} loss on validation {before:.3f} as the corpus has it, {after:.3f} learned"
        )
    typer.echo(f"done: {made.checkpoint}")


def _finite(loss: float) -> float | None:
    """A loss as JSON knows it: none where there is no validation split."""
    return loss if loss == loss else None  # noqa: PLR0124  a NaN is not itself
