"""`obbligato train codec | vocoder | upsampler`: what learns from excerpts of sound alone."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flows.cli.options import (
    Json,
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
from flows.errors import UsageError

if TYPE_CHECKING:
    from training.excerpts.run import TrainedFolder
    from training.run.metrics_log import ReportLine
    from training.run.recipe import LearningRecipe
    from training.run.step_loop import Trained


class CodecKind(StrEnum):
    """Codecs of one's own."""

    VAE = "vae"
    WAVE = "wave"


def train_codec(
    shards: TrainShards = None,
    out: Annotated[Path | None, written("Folder of the codec.")] = None,
    kind: Annotated[
        CodecKind,
        typer.Option(
            help=(
                "vae: of spectrograms, played by Griffin-Lim; minutes on a CPU. wave: of waves, "
                "mono or stereo; again, it goes on from its last checkpoint."
            )
        ),
    ] = CodecKind.VAE,
    preset: Annotated[
        str, typer.Option(help="Of wave: tiny (16 kHz mono, a CPU) or stereo (44.1 kHz, GPUs).")
    ] = "",
    settings: Settings = None,
    printed: Print = False,
    processes: Processes = 1,
    as_json: Json = False,
) -> None:
    """Train an autoencoder on shards: the codec `vae` or `wave`, for latents of one's own.

    Knobs of vae are vae.steps and others; `--kind wave --print` prints those of wave.
    """
    if kind is CodecKind.VAE:
        if preset or printed or processes > 1:
            raise UsageError(
                "--preset, --print and --processes are of --kind wave: a vae has knobs alone, such "
                "as vae.steps"
            )
        _train_vae(shards, out, settings, as_json=as_json)
        return
    from training.codec.wave_recipe import ready_wave
    from training.codec.wave_training import train_wave_codec

    recipe = laid_over(ready_wave(preset or "tiny"), shards, settings, "train codec --kind wave")
    work = _ExcerptWork(
        ("codec", "--kind", "wave"),
        recipe,
        partial(train_wave_codec, recipe),
        _GivenOptions(shards, out, preset, settings),
        f"encode with it:  {{}} encode BUILD --codec wave --weights {out}",
    )
    _train(work, processes, printed=printed, as_json=as_json)


def train_vocoder(
    shards: TrainShards = None,
    out: Annotated[Path | None, written("Folder of the vocoder.")] = None,
    settings: Settings = None,
    printed: Print = False,
    processes: Processes = 1,
    as_json: Json = False,
) -> None:
    """Train what plays the spectrogram of `mel` and `vae` in place of Griffin-Lim, from audio
    alone.

    Half an hour on a CPU; again, it goes on from its last checkpoint. Latents stay what they are.
    """
    from training.vocoder.recipe import READY
    from training.vocoder.train import train_vocoder as train_on

    recipe = laid_over(READY, shards, settings, "train vocoder")
    work = _ExcerptWork(
        ("vocoder",),
        recipe,
        partial(train_on, recipe),
        _GivenOptions(shards, out, "", settings),
        f"play with it:  {{}} sample CAPTION --model RUN --vocoder {out}",
    )
    _train(work, processes, printed=printed, as_json=as_json)


def train_upsampler(
    shards: TrainShards = None,
    out: Annotated[Path | None, written("Folder of the upsampler.")] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="super-resolution (16 to 24 kHz), or cascader (3.2 to 16 kHz); rates are knobs."
        ),
    ] = "super-resolution",
    settings: Settings = None,
    printed: Print = False,
    processes: Processes = 1,
    as_json: Json = False,
) -> None:
    """Train what brings sound to a higher rate, from the audio of shards and its copies at a lower
    one, where it has any.

    Half an hour on a CPU; again, it goes on from its last checkpoint.
    """
    from training.upsampler.recipe import ready_upsampler
    from training.upsampler.train import train_upsampler as train_on

    recipe = laid_over(ready_upsampler(preset), shards, settings, "train upsampler")
    work = _ExcerptWork(
        ("upsampler",),
        recipe,
        partial(train_on, recipe),
        _GivenOptions(shards, out, preset, settings),
        f"play with it:  {{}} sample CAPTION --model RUN --upsample {out}",
    )
    _train(work, processes, printed=printed, as_json=as_json)


class _GivenOptions(NamedTuple):
    """The options that processes of their own are given again."""

    shards: list[str] | None
    out: Path | None
    preset: str
    settings: list[str] | None


class _ExcerptWork(NamedTuple):
    """What is trained, and what it is good for."""

    command: tuple[str, ...]  # behind `train`
    recipe: "LearningRecipe"
    train: "Callable[[Path, ReportLine], TrainedFolder]"
    asked: _GivenOptions
    use: str  # a command that uses it, with {} for the program's name


def _train(work: _ExcerptWork, processes: int, *, printed: bool, as_json: bool) -> None:
    """Print the recipe, or train: in this process, or in several of this machine."""
    if printed:
        print_recipe(work.recipe, as_json)
        return
    folder = Path(required(str(work.asked.out or ""), f"the {work.command[0]}"))
    if processes > 1:
        _train_by(processes, work, folder, as_json=as_json)
        return
    made = work.train(folder, line_reporter(as_json))
    print_end(made, made.model_dump(mode="json"), work.use, as_json=as_json)


def _train_by(processes: int, work: _ExcerptWork, folder: Path, *, as_json: bool) -> None:
    """Train with several processes, which say by themselves how it goes."""
    from flows.launchers.command import launching_of, run_launched, train_job
    from flows.launchers.job import REQUEUE
    from training.excerpts.run import trained_folder

    launching = launching_of("local", processes, 1, [])
    job = train_job(
        work.asked.shards or (),
        str(folder),
        work.asked.preset,
        work.asked.settings or (),
        launching,
        ("train", *work.command),
    )
    status = run_launched(job, launching, line_reporter(as_json))
    if as_json and status in (0, REQUEUE):  # of a run that failed, its processes have said why
        typer.echo(trained_folder(folder, stopped=status == REQUEUE).model_dump_json())
    if status:
        raise typer.Exit(status)


def print_end(
    made: "Trained | TrainedFolder", facts: Mapping[str, object], use: str, *, as_json: bool
) -> None:
    """Say how a training ended, as JSON its facts, and by which command what it made is of use,
    with {} for the program's name; status 75 where there is more to do.
    """
    from flows.launchers.job import REQUEUE
    from flows.screens.program import command_name
    from training.run.parallel import is_first_process

    if not is_first_process():  # another one says it
        pass
    elif as_json:
        print_json(facts)
    elif made.stopped:
        typer.echo(f"stopped at step {made.step}: {made.checkpoint}; the same command goes on")
    else:
        typer.echo(f"done at step {made.step}: {made.checkpoint}")
        typer.echo(use.replace("{}", command_name(), 1))
    if made.stopped:
        raise typer.Exit(REQUEUE)


def _train_vae(
    shards: list[str] | None,
    out: Path | None,
    settings: list[str] | None,
    *,
    as_json: bool,
) -> None:
    from flows.build.recipe_files import validated_as, with_settings
    from flows.screens.program import command_name
    from training.codec.autoencoder import AutoencoderRecipe, train_autoencoder

    values = with_settings({"vae": {}}, settings or [])
    recipe = validated_as(
        AutoencoderRecipe, values["vae"], f"knobs are {', '.join(AutoencoderRecipe.model_fields)}"
    )
    if shards is None or len(shards) != 1:
        raise UsageError("a vae learns from one build or folder of shards: name one")
    folder = Path(required(str(out or ""), "the codec"))
    made = train_autoencoder(shards[0], folder, recipe, line_reporter(as_json))
    if as_json:
        typer.echo(made.model_dump_json())
        return
    typer.echo(
        f"mean error {made.error:.3f} of the spectrogram's spread; latents times {made.scale:.3f}"
    )
    typer.echo(f"encode with it:  {command_name()} encode BUILD --codec vae --weights {out}")
