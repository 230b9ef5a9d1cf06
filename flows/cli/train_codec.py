"""`obbligato train codec`: an autoencoder of one's own."""

from enum import StrEnum
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
    print_recipe,
    required,
    written,
)
from flows.errors import UsageError

if TYPE_CHECKING:
    from training.codec.wave_recipe import WaveRecipe


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
    if kind is CodecKind.WAVE:
        work = _WaveWork(shards, out, preset or "tiny", settings)
        if printed:
            print_recipe(work.recipe, as_json)
        elif processes > 1:
            _train_wave_by(processes, work, as_json=as_json)
        else:
            _train_wave(work, as_json=as_json)
        return
    if preset or printed or processes > 1:
        raise UsageError(
            "--preset, --print and --processes are of --kind wave: a vae has knobs alone, such as "
            "vae.steps"
        )
    _train_vae(shards, out, settings, as_json=as_json)


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
    made = train_autoencoder(shards[0], _codec_folder(out), recipe, line_reporter(as_json))
    if as_json:
        typer.echo(made.model_dump_json())
        return
    typer.echo(
        f"mean error {made.error:.3f} of the spectrogram's spread; latents times {made.scale:.3f}"
    )
    typer.echo(f"encode with it:  {command_name()} encode BUILD --codec vae --weights {out}")


class _WaveWork(NamedTuple):
    """A codec of waves to be trained, as the command line says it."""

    shards: list[str] | None
    out: Path | None
    preset: str
    settings: list[str] | None

    @property
    def recipe(self) -> "WaveRecipe":
        """The whole recipe. Raises `UsageError` naming what does not fit."""
        from training.codec.wave_recipe import ready_wave

        ready = ready_wave(self.preset)
        return laid_over(ready, self.shards, self.settings, "train codec --kind wave")


def _train_wave_by(processes: int, work: _WaveWork, *, as_json: bool) -> None:
    """Train with several processes of this machine, which say by themselves how it goes."""
    from flows.launchers.command import launching_of, run_launched, train_job
    from training.codec.wave_training import wave_trained

    _ = work.recipe  # what does not fit is said before any is started
    out, launching = _codec_folder(work.out), launching_of("local", processes, 1, [])
    job = train_job(
        work.shards or (),
        str(out),
        work.preset,
        work.settings or (),
        launching,
        ("train", "codec", "--kind", "wave"),
    )
    status = run_launched(job, launching, line_reporter(as_json))
    if as_json:
        typer.echo(wave_trained(out, stopped=bool(status)).model_dump_json())
    if status:
        raise typer.Exit(status)


def _train_wave(work: _WaveWork, *, as_json: bool) -> None:
    from flows.launchers.job import REQUEUE
    from flows.screens.program import command_name
    from training.codec.wave_training import train_wave_codec
    from training.run.parallel import is_first_process

    out = _codec_folder(work.out)
    made = train_wave_codec(work.recipe, out, line_reporter(as_json))
    if not is_first_process():  # another one says it
        pass
    elif as_json:
        typer.echo(made.model_dump_json())
    elif made.stopped:
        typer.echo(f"stopped at step {made.step}: {made.checkpoint}; the same command goes on")
    else:
        typer.echo(f"done at step {made.step}: {made.checkpoint}")
        typer.echo(f"encode with it:  {command_name()} encode BUILD --codec wave --weights {out}")
    if made.stopped:
        raise typer.Exit(REQUEUE)


def _codec_folder(out: Path | None) -> Path:
    return Path(required(str(out or ""), "the codec"))
