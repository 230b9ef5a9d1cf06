"""Options, arguments and completions of the commands, each declared once, and their grammar.

A command is a verb, or a noun with verbs of its own (`shards`, `dead`, `captions`). Its first
argument is what it reads:

- BUILD, the folder or URL of a build, wherever a build is looked at or brought up to date;
- SHARDS, a build or any other shards, wherever samples are read;
- RUN, a training run or one of its checkpoints, where a model is measured; `sample` reads a
  caption, so there the model is an option.

``--out`` is what is written, and nothing else is. ``--set`` and ``--recipe`` are the recipe of the
command's own work; a command that has others' work done, as `pipeline`, has an option of that name
for each (``--train``, ``--launch``, ``--evaluate``). With ``--json`` the result is one JSON object
on standard output, or one a line where rows are listed, and progress goes to standard error.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from flows.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from flows.build.run_stage import Watch
    from flows.launchers.job import ReportLine
    from flows.models.evaluation import Progress
    from schemas.dataset import Dataset
    from schemas.record import Record

R = TypeVar("R", bound="Record")
KNOB = "One knob of the recipe, as section.key=value. Repeatable."
# here, too: a shell does not wait for torch
PRESETS: Final = (
    "tiny",
    "tiny-munet",
    "small",
    "small-dit",
    "base",
    "n2m",
    "stable",
    "tokens-tiny",
)
A_RUN: Final = "the folder of a training run, or one of its checkpoints"
_SHARDS = "Builds, folders of shards, globs or URLs to learn from."


def ready_recipe_names() -> list[str]:
    """Names of the recipes that come with Obbligato, for a shell."""
    from flows.build.recipe_files import ready_recipes

    return list(ready_recipes())


def step_names() -> list[str]:
    """Names of a build's steps, for a shell."""
    from flows.build.order import STEPS

    return list(STEPS)


def split_names() -> list[str]:
    """Names of the splits, for a shell."""
    from schemas.identity import Split

    return [split.value for split in Split]


def codec_names() -> list[str]:
    """Names of codecs that are installed, for a shell."""
    from pipelines.codecs import CODECS

    return CODECS.names()


def knob_names(ctx: typer.Context) -> list[str]:
    """Knobs of the recipe that a command goes by, as far as ``=``, for a shell."""
    names = (
        f"{section}.{knob}="
        for section, recipe in _sections(ctx.command_path)
        for knob in recipe.model_fields
    )
    return list(dict.fromkeys(names))


def _sections(path: str) -> Iterator[tuple[str, "type[BaseModel]"]]:
    """Sections of the recipe of a command, which is named from the program on; one of several kinds
    once for each.
    """
    from schemas.kinds import records_of

    if path.endswith("codec"):
        from training.codec.autoencoder import AutoencoderRecipe

        yield "vae", AutoencoderRecipe
    for section, field in _recipe_of(path).model_fields.items():
        yield from ((section, record) for record in records_of(field.annotation))


def _recipe_of(path: str) -> "type[Record]":
    if path.endswith("codec"):
        from training.codec.wave_recipe import WaveRecipe

        return WaveRecipe
    if path.endswith("vocoder"):
        from training.vocoder.recipe import VocoderRecipe

        return VocoderRecipe
    if path.endswith("upsampler"):
        from training.upsampler.recipe import UpsamplerRecipe

        return UpsamplerRecipe
    if path.endswith("predictors"):
        from training.control_predictors.recipe import PredictorRecipe

        return PredictorRecipe
    if " train" in path:
        from training.run.recipe import TrainRecipe

        return TrainRecipe
    from schemas.recipe import Recipe

    return Recipe


def existing(address: str, wanted: str) -> str:
    """An address of the command line.

    Raises `UsageError` for a path at which nothing stands, and says what is wanted there.
    """
    if "://" not in address and not Path(address).exists():
        raise UsageError(f"{address} does not exist: name {wanted}")
    return address


def written(what: str, metavar: str = "FOLDER") -> Any:
    """The option for what a command writes."""
    return typer.Option("--out", metavar=metavar, help=what)


Build = Annotated[str, typer.Argument(metavar="BUILD", help="Folder or URL of a build.")]
Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE", help="Folders, globs, files, manifests or shards; paths or URLs."
    ),
]
TrainShards = Annotated[list[str] | None, typer.Argument(metavar="SHARDS", help=_SHARDS)]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a training run, or one of its checkpoints.")
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="SHARDS",
        help="A build, a folder of tars, a glob, a .tar or .tar.gz file, or a URL of any of these.",
    ),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe",
        metavar="FILE|NAME",
        help=(
            "A recipe in TOML, or a ready one's name; without it, the default that `obbligato "
            "recipe` prints."
        ),
        autocompletion=ready_recipe_names,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KNOB=VALUE", help=KNOB, autocompletion=knob_names),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="OURS=THEIRS",
        help="A table's column by our name, such as uri=ytid. Repeatable.",
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes.")]
Runner = Annotated[str, typer.Option(help="local, or the name of a Beam runner.")]
Beam = Annotated[
    list[str] | None,
    typer.Option("--beam", metavar="NAME=VALUE", help="An option of the Beam runner. Repeatable."),
]
Shrink = Annotated[
    bool,
    typer.Option("--shrink", help="Let many songs go that an earlier build has; else it stops."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON object on standard output, progress on standard error."),
]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
Device = Annotated[str, typer.Option(help="Where the model runs: auto, cpu or cuda.")]
Preset = Annotated[
    str,
    typer.Option(
        help=(
            "tiny (a CPU, minutes; where none is named) and small-dit (one GPU) are transformers, "
            "tiny-munet and small the UNets beside them; base (Mustango's), n2m (base, trained as "
            "Noise2Music), stable (95 s of stereo, after Stable Audio); tokens-tiny a masked model "
            "of codes (`encode --codes`)."
        ),
        autocompletion=lambda: list(PRESETS),
    ),
]
Print = Annotated[
    bool, typer.Option("--print", help="Print the recipe with a comment per knob instead.")
]
Processes = Annotated[
    int, typer.Option(min=1, help="Processes that train, on each machine; on GPUs, one for each.")
]
Nodes = Annotated[int, typer.Option(min=1, help="Machines that train, by slurm or kubernetes.")]
Launch = Annotated[
    list[str] | None,
    typer.Option(
        "--launch",
        metavar="KEY=VALUE",
        help="A setting of the launcher, such as partition=gpu. Repeatable.",
    ),
]


def print_json(result: Any) -> None:
    """The result of a command, as one JSON object in a line."""
    typer.echo(json.dumps(result))


def line_reporter(as_json: bool) -> "ReportLine":
    """Where lines of progress go: beside the result where that is for a program."""
    return lambda line: typer.echo(line, err=as_json)


@contextmanager
def watching(as_json: bool) -> "Iterator[Watch]":
    """Progress of a build's stages, beside the result where that is for a program."""
    from flows.screens import terminal

    with terminal.watching(terminal.stderr_console if as_json else terminal.console) as watch:
        yield watch


def counting(as_json: bool) -> "Progress":
    """Progress of things that are counted, beside the result where that is for a program."""
    from flows.screens import terminal

    screen = terminal.stderr_console if as_json else terminal.console
    return lambda what, total: terminal.counting(what, total, screen)


def print_build(dataset: "Dataset", build: str, as_json: bool) -> None:
    """What a build holds."""
    from flows.screens.terminal import print_dataset

    if as_json:
        print_json(dataset.as_json())
    else:
        print_dataset(dataset, build)


def required(out: str, what: str) -> str:
    """What is written, where a command may also only print.

    Raises `UsageError` where nothing is named.
    """
    if not out:
        raise UsageError(f"--out is missing: the folder that {what} go to")
    return out


def with_columns(settings: list[str] | None, columns: list[str] | None) -> list[str]:
    """Settings of a recipe, with the names of a manifest's columns among them."""
    pairs = [pair.partition("=") for pair in columns or []]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError("--map expects ours=theirs, such as --map uri=ytid")
    mapped = ", ".join(f'"{ours}" = "{theirs}"' for ours, _, theirs in pairs)
    return [*(settings or []), *([f"ingest.column_map={{{mapped}}}"] if mapped else [])]


def print_recipe(recipe: "Record", as_json: bool) -> None:
    """Print a recipe as TOML with a comment per knob, or as JSON."""
    from flows.build.recipe_files import recipe_toml

    typer.echo(recipe.model_dump_json() if as_json else recipe_toml(recipe, comments=True))


def laid_over(ready: R, shards: list[str] | None, settings: list[str] | None, command: str) -> R:
    """A ready recipe with the shards and knobs of the command line."""
    from flows.build.recipe_files import of_chosen_kinds, validated_as, with_settings

    values = with_settings(ready.model_dump(mode="json"), settings or [])
    values = of_chosen_kinds(type(ready), values, ready.model_dump(mode="json"))
    if shards:
        values["data"]["shards"] = shards
    return validated_as(type(ready), values, f"`obbligato {command} --print` prints every knob")
