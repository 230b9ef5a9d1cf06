"""The command line; `obbligato --help` lists its commands, by what one does with them."""

import importlib.metadata
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from flows.cli import (
    build,
    captions,
    dead,
    evaluate,
    forget,
    label_encode,
    pipeline,
    published,
    report,
    review,
    sample,
    shards,
    step,
    train,
    trust,
    upsample,
)
from flows.cli.renamed import Renamed, RenamedCommands
from flows.screens.plain import complain, message
from flows.screens.program import run_program

if TYPE_CHECKING:
    from typer._click.core import Command

_START: Final = "Start here"
_BUILDS: Final = "Builds and shards"
_MODELS: Final = "Models"
_NEED: Final = "For schedulers, and in need"
# ClickException, wherever typer keeps it
_WrongUsage: Final = cast(type[Exception], typer.BadParameter.mro()[2])
_ORDER: Final[list[str]] = []  # of the commands, as they are added below: typer puts groups last


class Root(RenamedCommands):
    """All commands, in the order in which they are added."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Names, those that a reader begins with first."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse, once every flag is one whose help names no type."""
        _name_no_type(self, ctx)
        return super().parse_args(ctx, args)

    def main(  # type: ignore[override]
        self, args: Any = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run a command; wrong usage is one line and status 2."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **extra)
        try:
            status = super().main(args, standalone_mode=False, **extra)
        except _WrongUsage as error:
            if line := usage_line(error):
                complain(line)
            sys.exit(2)
        except typer.Abort:
            complain("obbligato: stopped")
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)


def usage_line(error: Exception) -> str:
    """What is wrong with a command line, and where its usage stands.

    Empty where no command was named: the help has been shown.
    """
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    typed = " ".join(cast(Any, error).format_message().split())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "obbligato"
    reason = typed[:1].lower() + typed[1:].removesuffix(".")
    return message(f"obbligato: {reason}; `{path.replace('train model', 'train')} --help` helps")


def _name_no_type(command: "Command", ctx: typer.Context) -> None:
    """Leave ``<bool>`` out of the help of flags, of a command and all below it."""
    for param in command.get_params(ctx):
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""
    for inner in command.commands.values() if isinstance(command, TyperGroup) else ():
        _name_no_type(inner, ctx)


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Music in, training data whose text can be trusted out.",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"obbligato {importlib.metadata.version('obbligato')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take what stands before a command."""


def _add(
    panel: str,
    command: Callable[..., Any],
    line: str,
    cls: type[TyperCommand] = TyperCommand,
    name: str = "",
) -> None:
    """Add a command to a panel of the help, where one line says what it does."""
    name = name or command.__name__
    _ORDER.append(name)
    app.command(name, cls=cls, rich_help_panel=panel, short_help=line)(command)


def _add_group(panel: str, name: str, group: typer.Typer) -> None:
    _ORDER.append(name)
    app.add_typer(group, name=name, rich_help_panel=panel)


_add(_START, build.demo, "Compose pieces, build a corpus, compare with the truth. No download.")
_add(_START, build.build, "Build a dataset from music, or finish one.")
_add(_START, build.plan, "Say what a build would do, without doing it.")
_add(_START, build.recipe, "Print a recipe with a comment per knob; list ready ones.")
_add(_START, build.annotate, "Print the labels of audio files as a lead sheet.")

_add_group(_BUILDS, "shards", shards.app)
_add(_BUILDS, report.report, "Write a page on which labels are seen and heard, with no server.")
_add(_BUILDS, review.review, "Set labels right by ear, on a page for this machine alone.")
_add(_BUILDS, build.verify, "Read a build back whole, and extract labels again.")
_add(_BUILDS, label_encode.label, "Choose captions for clips by a music-text embedding.")
_add(_BUILDS, label_encode.encode, "Put a codec's latents beside each sample's audio.", Renamed)
_add(_BUILDS, forget.forget, "Take songs out of a build for good.")
_add_group(_BUILDS, "captions", captions.app)
_add_group(_BUILDS, "dead", dead.app)

_add_group(_MODELS, "train", train.app)
_add(_MODELS, published.import_model, "Read a published model as a run.", name="import")
_add(_MODELS, published.export_model, "Write a model for others to open.", name="export")
_add(_MODELS, sample.sample, "Play a caption: music with its lead sheet.", Renamed)
_add(_MODELS, upsample.upsample, "Bring a file to a higher rate.")
_add(_MODELS, evaluate.evaluate, "Score whether music plays what was asked; a page to listen on.")
_add(_MODELS, evaluate.ablate, "Say what text, beats and chords are worth to a model.")
_add(_MODELS, pipeline.pipeline, "Build, train and evaluate in one command.")

_add(_NEED, step.step, "Take one step of a build, or a share of it.", step.StepCommand)
_add(_NEED, trust.trust, "Let a build or a model of others name code, models, servers.")
_add(_NEED, trust.unlock, "Remove the lock of a run that is surely dead.")
app.command(hidden=True)(step.serve_steps)


def main() -> None:
    """Entry point: errors for the reader are one plain line, and exit status 1 (2: wrong usage)."""
    run_program(
        lambda: app(prog_name="obbligato")
    )  # however it was started: a shell completes that name
