"""`obbligato sample`: music from a model, by a caption and controls."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import A_RUN, Device, Json, existing, print_json, written


class AudioFormat(StrEnum):
    """Files that music is written to."""

    WAV = "wav"
    FLAC = "flac"


def sample(
    caption: Annotated[str, typer.Argument(metavar="CAPTION", help="What to play, in words.")],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="RUN", help="Folder of a training run, or one of its checkpoints."
        ),
    ],
    out: Annotated[Path, written("Folder for the music.")] = Path("played"),
    bpm: Annotated[float | None, typer.Option(help="Tempo in beats per minute.")] = None,
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
            metavar="FOLDER",
            help="Learned predictors for what nobody says; without, what is usual in the corpus.",
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many different pieces.")] = 1,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.5, help="Length in seconds; without, what the model was trained on."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same music.")] = 0,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="How closely to follow; without, the recipe's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps from noise to music; without, the recipe's.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="ddim or dpm-solver++; without, the recipe's.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pieces made at once.")] = 4,
    audio_format: Annotated[
        AudioFormat, typer.Option("--format", help="Of the files.")
    ] = AudioFormat.FLAC,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Play a caption: music with its lead sheet.

    What neither caption nor options say is filled from the corpus of the model.
    """
    from flows.models.sampling import sampling_request
    from pipelines.labels.lead_sheet import heading, lead_sheet
    from training.control_predictors.predictors import Predictors
    from training.generation.generate import GenerationRequest, Generator, unconditioned_notes
    from training.generation.write import write_piece

    generator = Generator.of(existing(model, A_RUN), device)
    resolved, sampling = sampling_request(
        generator,
        caption,
        bpm=bpm,
        meter=meter,
        key=key,
        chords=chords,
        seconds=seconds,
        guidance=guidance,
        steps=steps,
        sampler=sampler,
        seed=seed,
        predictors=Predictors.of(predictors) if predictors else None,
    )
    labels, explained = (
        resolved.labels,
        (*resolved.lines(), *unconditioned_notes(resolved.labels, generator.recipe.model)),
    )
    typer.echo("\n".join((*explained, f"     {heading(labels)}", *lead_sheet(labels))), err=as_json)
    files: list[str] = []
    for start in range(0, count, batch):
        requests = [
            GenerationRequest(str(number), caption, labels)
            for number in range(start, min(count, start + batch))
        ]
        for request, wave in zip(
            requests, generator.play(requests, seed=seed, sampling=sampling), strict=True
        ):
            files.append(
                write_piece(
                    out,
                    request,
                    wave,
                    generator,
                    seed=seed,
                    sampling=sampling,
                    audio_format=audio_format,
                )
            )
            typer.echo(files[-1], err=as_json)
    if as_json:
        print_json(
            {
                "files": files,
                "controls": explained,
                "labels": labels.model_dump(mode="json"),
                "model": generator.name,
            }
        )
