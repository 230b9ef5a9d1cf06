"""`obbligato train` and `obbligato sample`: a model from shards, and music from a model."""

import json
import os
import sys
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.errors import UsageError
from flows.launchers.job import LAUNCHED, REQUEUE

if TYPE_CHECKING:
    from training.run.recipe import TrainRecipe

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="One knob of the training recipe, as section.key=value. Repeatable."
    ),
]


class AudioFormat(StrEnum):
    """Files that music is written to."""

    WAV = "wav"
    FLAC = "flac"


def train(
    shards: Annotated[
        list[str] | None,
        typer.Argument(help="Builds, folders of shards, globs or URLs to learn from."),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            "--out",
            help=(
                "Folder of the run: checkpoints and log. Again, it goes on from the last "
                "checkpoint."
            ),
        ),
    ] = "",
    preset: Annotated[
        str,
        typer.Option(
            help=(
                "tiny (a CPU, minutes), small (one GPU), base (Mustango's), n2m (base, trained "
                "as Noise2Music)."
            )
        ),
    ] = "tiny",
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help="A training recipe in TOML, laid over the preset."),
    ] = None,
    settings: Settings = None,
    printed: Annotated[
        bool,
        typer.Option("--print", help="Print the training recipe with a comment per knob instead."),
    ] = False,
    launcher: Annotated[
        str,
        typer.Option(
            help=(
                "local, slurm or kubernetes: where it runs, and goes on after a stop. Empty: in "
                "this process."
            )
        ),
    ] = "",
    processes: Annotated[int, typer.Option(min=1, help="On each node; on GPUs, one for each.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, by slurm or kubernetes.")] = 1,
    launch: Annotated[
        list[str] | None,
        typer.Option(
            "--launch",
            help="A setting of the launcher, such as partition=gpu or image=…. Repeatable.",
        ),
    ] = None,
) -> None:
    """Train a model on shards. SIGTERM ends it with a checkpoint and status 75; the same command
    goes on.
    """
    from flows.build.recipe_files import recipe_toml
    from flows.launchers.command import launching_of, run_launched, train_job
    from pipelines.trust.trusted import trust
    from training.run.recipe import wanted

    chosen = train_recipe(preset, recipe, settings or [], shards or [])
    if printed:
        typer.echo(recipe_toml(chosen, comments=True))
        return
    if not out:
        raise UsageError("--out is missing: the folder that checkpoints and the log go to")
    if launcher or launch or processes * nodes > 1:
        launching = launching_of(launcher or "local", processes, nodes, launch or [])
        trust(out, wanted(chosen.text, chosen.codec))  # where it trains it may not be remembered
        job = train_job(
            shards or [], out, preset, [*_file_settings(recipe), *(settings or [])], launching
        )
        raise typer.Exit(run_launched(job, launching, typer.echo))

    from flows.screens.model_files import write_model_card
    from pipelines.storage.lock import wait_out
    from pipelines.storage.store import Store
    from training.run.loop import train as run_train

    if (
        os.environ.get(LAUNCHED) and os.environ.get("RANK", "0") == "0"
    ):  # by a scheduler, maybe in place of a run whose machine died
        wait_out(Store(out), typer.echo)
    made = run_train(chosen, out, typer.echo, at_end=lambda: write_model_card(out))
    if os.environ.get("RANK", "0") == "0":  # one of several tells
        typer.echo(
            f"{'stopped' if made.stopped else 'done'} at step {made.step}: {made.checkpoint}"
        )
    if made.stopped:
        raise typer.Exit(REQUEUE)
    if os.environ.get("RANK", "0") == "0":
        typer.echo(f"what it is:  {out}/README.md")
        typer.echo(f'listen:  {_command()} sample "A calm song in A minor at 90 BPM" --model {out}')


def _file_settings(file: Path | None) -> list[str]:
    """A recipe's file as settings: other machines may not see it."""
    sections = (
        tomllib.loads(file.read_text(encoding="utf-8")) if file else {}
    )  # `train_recipe` has read it before
    return [
        f"{section}.{knob}={json.dumps(value)}"
        for section, knobs in sections.items()
        for knob, value in knobs.items()
    ]


def train_recipe(
    preset: str, file: Path | None, settings: list[str], shards: list[str]
) -> "TrainRecipe":
    """A preset with a file's values laid over it, then settings, then the shards. Raises
    `UsageError` naming what does not fit.
    """
    from flows.build.recipe_files import laid_over, validated_as
    from training.run.presets import ready_recipe
    from training.run.recipe import TrainRecipe

    values: dict[str, Any] = ready_recipe(preset).model_dump(mode="json")
    if file is not None:
        try:
            given = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"recipe {file}: {error}") from error
        for section, knobs in given.items():
            values[section] = (
                {**values.get(section, {}), **knobs} if isinstance(knobs, dict) else knobs
            )
    values = laid_over(values, settings)
    if shards:
        values["data"]["shards"] = shards
    return validated_as(
        TrainRecipe, values, f"`obbligato train --preset {preset} --print` prints every knob"
    )


def sample(
    caption: Annotated[str, typer.Argument(help="What to play, in words.")],
    model: Annotated[
        str, typer.Option("--model", help="A checkpoint, or the folder of a training run.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the music.")] = Path("played"),
    bpm: Annotated[float | None, typer.Option(help="Beats per minute.")] = None,
    meter: Annotated[str | None, typer.Option(help="Such as 3/4, or beats per bar.")] = None,
    key: Annotated[str | None, typer.Option(help="Such as 'A minor'.")] = None,
    chords: Annotated[
        str | None,
        typer.Option(
            help=(
                "Such as 'Am F C G': one a bar, from the top again; 'Am:2 F' and bar lines as well."
            )
        ),
    ] = None,
    predictors: Annotated[
        str | None,
        typer.Option(
            "--predictors",
            help=(
                "Folder of learned predictors for what nobody says. None: what is usual in the "
                "corpus."
            ),
        ),
    ] = None,
    count: Annotated[int, typer.Option("--n", min=1, help="How many different pieces.")] = 1,
    seconds: Annotated[
        float | None, typer.Option(min=0.5, help="Length. None: what the model was trained on.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same music.")] = 0,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="How closely to follow. None: the recipe's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps from noise to music. None: the recipe's.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="ddim or dpm-solver++. None: the recipe's.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pieces made at once.")] = 4,
    audio_format: Annotated[
        AudioFormat, typer.Option("--format", help="Of the files.")
    ] = AudioFormat.FLAC,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Play a caption: music with its lead sheet. What neither caption nor options say is filled
    from the corpus of the model.
    """
    from flows.build.recipe_files import validated_as
    from pipelines.labels.lead_sheet import heading, lead_sheet
    from training.control_predictors.predictors import Predictors
    from training.diffusion.sampling import SamplingConfig
    from training.generation.generate import Player, Score, untold
    from training.generation.write import write_piece
    from training.prompt_controls.ask import asked

    player = Player.of(model, device)
    given = {"guidance": guidance, "steps": steps, "sampler": sampler}
    values = player.recipe.sampling.model_dump() | {
        name: value for name, value in given.items() if value is not None
    }
    sampling = validated_as(SamplingConfig, values, "see `obbligato sample --help`")
    wanted = asked(
        caption,
        bpm=bpm,
        meter=meter,
        key=key,
        chords=chords,
        duration_s=seconds or player.recipe.data.seconds,
        statistics=player.survey.statistics,
        seed=seed,
        predictors=Predictors.of(predictors) if predictors else None,
    )
    typer.echo(
        "\n".join(
            (
                *wanted.told(),
                *untold(wanted.labels),
                f"     {heading(wanted.labels)}",
                *lead_sheet(wanted.labels),
            )
        )
    )
    for start in range(0, count, batch):
        scores = [
            Score(str(number), caption, wanted.labels)
            for number in range(start, min(count, start + batch))
        ]
        for score, wave in zip(
            scores, player.play(scores, seed=seed, sampling=sampling), strict=True
        ):
            typer.echo(
                write_piece(
                    out,
                    score,
                    wave,
                    player,
                    seed=seed,
                    sampling=sampling,
                    audio_format=audio_format,
                )
            )


def train_codec(
    shards: Annotated[str, typer.Argument(help="A build or shards to learn from.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the codec.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One knob, as vae.steps=5000. Repeatable.")
    ] = None,
) -> None:
    """Train a small autoencoder on shards: the codec `vae`, for latents of one's own."""
    from flows.build.recipe_files import laid_over, validated_as
    from training.codec.autoencoder import AutoencoderRecipe, train_autoencoder

    values = laid_over({"vae": {}}, settings or [])
    recipe = validated_as(
        AutoencoderRecipe, values["vae"], f"knobs are {', '.join(AutoencoderRecipe.model_fields)}"
    )
    made = train_autoencoder(shards, out, recipe, typer.echo)
    typer.echo(
        f"mean error {made.error:.3f} of the spectrogram's spread; latents times {made.scale:.3f}"
    )
    typer.echo(f"encode with it:  {_command()} encode CORPUS --codec vae --source {out}")


def heeds(
    model: Annotated[str, typer.Argument(help="A checkpoint, or the folder of a training run.")],
    shards: Annotated[str, typer.Argument(help="A build or shards with a validation split.")],
    rounds: Annotated[int, typer.Option(min=1, help="Draws of noise for each song.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Say what text, beats and chords are worth to a model: how much its loss rises where it is
    told another song's.
    """
    from rich.table import Table

    from flows.screens.terminal import console
    from training.evaluation.condition_ablation import heeded
    from training.generation.generate import Player

    table = Table("told of another song", "loss, right", "wrong", "rise", "95 %", "", box=None)
    found = heeded(Player.of(model, device), shards, rounds=rounds, seed=seed)
    for one in found:
        rise, low, high = (
            f"{100 * value / one.right:+.2f} %" for value in (one.difference, one.low, one.high)
        )
        table.add_row(
            one.condition,
            f"{one.right:.4f}",
            f"{one.wrong:.4f}",
            rise,
            f"{low} … {high}",
            "heard" if one.heard else "not heard",
        )
    left_out = (
        f"; {found[0].unusable} samples cannot be used and are left out"
        if found[0].unusable
        else ""
    )
    console.print(
        f"{found[0].songs} songs of validation, one clip each, the same noise for right and "
        f"wrong{left_out}"
    )
    console.print(table)


def _command() -> str:
    return sys.argv[0] if Path(sys.argv[0]).name == "obbligato" else "obbligato"
