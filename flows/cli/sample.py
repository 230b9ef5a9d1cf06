"""`obbligato sample`: music from a model, by a caption and controls, or by a table of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from flows.cli import sample_options as asks
from flows.cli.options import A_RUN, Device, Json, existing, print_json, written
from flows.errors import UsageError
from flows.screens.plain import message

if TYPE_CHECKING:
    from flows.models.code_pieces import CodesAsking, CodesRequest
    from flows.models.playing import PieceJob, PlayedFile
    from flows.models.sampling import Asking, SamplerOptions, SamplingRequest
    from training.generation.generate import Generator
    from training.generation.refiners import Refiners
    from training.timed_controls.options import ControlOptions
    from training.timed_controls.place import PiecePlace
    from training.timed_controls.steer_options import SteerOptions


class _PieceOutput(NamedTuple):
    """Where pieces go, in which form, how many at once, and whether they are heard again."""

    folder: Path
    audio_format: str
    batch: int
    pieces: int
    heard: bool
    as_json: bool

    def say(self, line: str) -> None:
        """A line for the reader: beside the result where that is for a program."""
        typer.echo(line, err=self.as_json)


class _Asked(NamedTuple):
    """What is asked of a model, of whichever kind it is."""

    options: "ControlOptions"
    seconds: float | None
    seed: int
    sampler: "SamplerOptions"
    predictors: str | None  # a folder
    steer: "SteerOptions"
    place: "PiecePlace"
    refiners: "Refiners"

    def of(self, run: str, device: str) -> "Asking | CodesAsking":
        """The same asked of a run, whose model is read."""
        from flows.models.code_pieces import CodesAsking, codes_player
        from flows.models.sampling import Asking
        from training.control_predictors.predictors import Predictors
        from training.generation.generate import Generator
        from training.tokens.player import is_tokens_run

        options, seconds, seed, sampler, folder, steer, place, refiners = self
        predictors = Predictors.of(folder) if folder else None
        if is_tokens_run(run):
            return CodesAsking(
                codes_player(run, device, steer),
                options,
                seconds,
                seed,
                sampler,
                predictors,
                steer,
                place=place,
                refiners=refiners,
            )
        generator = Generator.of(run, device, refiners)
        return Asking(generator, options, seconds, seed, sampler, predictors, steer, place=place)


def sample(
    caption: asks.Caption = "",
    *,
    model: asks.Model,
    table: asks.Table = None,
    out: Annotated[Path, written("Folder for the music.")] = Path("played"),
    bpm: asks.Bpm = None,
    meter: asks.Meter = None,
    key: asks.Key = None,
    chords: asks.Chords = None,
    beats: asks.Beats = None,
    melody: asks.Melody = None,
    intensity: asks.Intensity = None,
    density: asks.Density = None,
    section: asks.Sections = None,
    going_on_from: asks.Continue = None,
    fill: asks.Fill = None,
    of: asks.Of = None,
    keep: asks.Keep = None,
    loop: asks.Loop = False,
    form: asks.Form = None,
    by: asks.By = None,
    iterations: asks.Iterations = None,
    predictors: asks.Predicted = None,
    seconds: asks.Seconds = None,
    start: asks.Start = None,
    total: asks.Total = None,
    count: asks.Count = 1,
    seed: asks.Seed = 0,
    guidance: asks.Guidance = None,
    steps: asks.Steps = None,
    sampler: asks.Sampler = None,
    gamma: asks.Gamma = None,
    batch: asks.Batch = 4,
    audio_format: asks.Format = asks.AudioFormat.FLAC,
    vocoder: asks.Vocoder = "",
    upsample: asks.Upsample = "",
    heard: asks.Heard = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Play a caption, sections or a table of prompts: music with its lead sheet; or go on from a
    recording, fill it, or make a loop.

    What neither caption nor options say of tempo, meter, key and chords is filled from the corpus
    of the model. What is asked for a part of the time is the model's own elsewhere.
    """
    if table is None and not (caption.strip() or section or going_on_from or of):
        raise UsageError(
            "nothing to play: give a caption, --section, a recording with --continue or --of, or "
            "a table with --from"
        )
    if table is not None and caption.strip():
        raise UsageError("a caption and --from: write the caption into the table")
    from flows.models.sampling import Asking, SamplerOptions
    from training.errors import TrainingError
    from training.generation.refiners import Refiners
    from training.timed_controls.options import ControlOptions
    from training.timed_controls.place import PiecePlace
    from training.timed_controls.steer_options import steer_options

    try:
        steer = steer_options(
            going_on_from=going_on_from,
            fill=fill,
            of=of,
            loop=loop,
            form=form,
            by=by,
            iterations=iterations,
            keep=keep,
        )
    except TrainingError as error:  # said before a model is loaded
        raise UsageError(str(error)) from error
    options = ControlOptions(
        bpm, meter, key, chords, beats, melody, intensity, density, tuple(section or ())
    )
    chosen = SamplerOptions(guidance, steps, sampler, gamma)
    asked = _Asked(
        options,
        seconds,
        seed,
        chosen,
        predictors,
        steer,
        PiecePlace(start, total),
        Refiners(vocoder, upsample),
    )
    asking = asked.of(existing(model, A_RUN), device)
    output = _PieceOutput(out, audio_format, batch, count, heard, as_json)
    if table is None:
        _play_one(asking, caption, output)
    elif isinstance(asking, Asking):
        _play_table(asking, table, output)
    else:
        raise UsageError("--from: a model of codes plays one caption at a time")


def _play_one(asking: "Asking | CodesAsking", caption: str, output: _PieceOutput) -> None:
    """Play one caption, as often as wanted."""
    from pipelines.labels.lead_sheet import heading, lead_sheet

    request = asking.request(caption)
    labels = request.labels
    output.say("\n".join((*request.lines, f"     {heading(labels)}", *lead_sheet(labels))))
    if asking.refined_by:
        output.say(f"played by {', '.join(asking.refined_by)}")
    played = list(_played_one(asking, request, output))
    answer: dict[str, Any] = {
        "files": [one.file for one in played],
        "controls": request.lines,
        "labels": labels.model_dump(mode="json"),
        "model": asking.generator.name,
        "near": [one.near for one in played],
    }
    if output.heard:
        answer["heard"] = _hear(played, output)
    if output.as_json:
        print_json(answer)


def _played_one(
    asking: "Asking | CodesAsking", request: "SamplingRequest | CodesRequest", output: _PieceOutput
) -> "Iterator[PlayedFile]":
    """Files of one request, as many as are wanted, by the kind of model that it is of."""
    from flows.models.code_pieces import CodesAsking, CodesRequest, play_codes_files
    from flows.models.playing import PieceJob
    from flows.models.sampling import Asking, SamplingRequest

    keys = [str(number) for number in range(output.pieces)]
    if isinstance(asking, Asking) and isinstance(request, SamplingRequest):
        jobs = [PieceJob(request, asking.seed, key) for key in keys]
        yield from _played(asking.generator, jobs, output)
    if isinstance(asking, CodesAsking) and isinstance(request, CodesRequest):
        for played in play_codes_files(
            asking.generator,
            request,
            keys,
            asking.seed,
            output.folder,
            batch=output.batch,
            audio_format=output.audio_format,
        ):
            output.say(played.file)
            yield played


def _played(
    generator: "Generator", jobs: "list[PieceJob]", output: _PieceOutput
) -> "Iterator[PlayedFile]":
    """Files of jobs, each told as it is written."""
    from flows.models.playing import play_jobs
    from flows.screens.terminal import console, stderr_console, tries

    with tries(stderr_console if output.as_json else console) as watch:
        for played in play_jobs(
            generator,
            jobs,
            output.folder,
            batch=output.batch,
            audio_format=output.audio_format,
            watch=watch,
        ):
            output.say("\n".join((played.file, *(f"  {line}" for line in played.near))))
            yield played


def _hear(played: "list[PlayedFile]", output: _PieceOutput) -> list[dict[str, Any] | None]:
    """The labels that annotators find in each piece, shown beside those that were asked for."""
    from flows.models.playing import hear
    from pipelines.labels.asked_and_heard import asked_beside_heard
    from training.conditions import Condition

    found: list[dict[str, Any] | None] = []
    for one, heard in zip(played, hear([one.file for one in played]), strict=True):
        output.say(f"\n{one.file}")
        if heard.labels is None:
            output.say(message(f"cannot be heard: {heard.problem}"))
            found.append(None)
            continue
        controls = one.piece.controls
        spans = controls.known.get(Condition.CHORDS)
        for line in asked_beside_heard(controls.labels, heard.labels, spans):
            output.say(line)
        found.append(heard.labels.model_dump(mode="json"))
    return found


def _play_table(asking: "Asking", path: Path, output: _PieceOutput) -> None:
    """Play the rows of a table, write the manifest of what was made, and name the rows that could
    not be played.
    """
    from flows.models import prompt_table

    table = prompt_table.read_prompts(path)
    manifest = output.folder / prompt_table.MANIFEST
    if manifest.exists() and manifest.resolve() == path.resolve():
        raise UsageError(f"{path} would be replaced by the manifest: give another folder to --out")
    if table.unread:
        output.say(message(f"note: columns that are not read: {', '.join(table.unread)}"))
    asked, failed = prompt_table.row_jobs(asking, table, output.pieces)
    for one in failed:
        typer.echo(message(f"{path}, row {one.number}: {one.reason}"), err=True)
    played = list(_played(asking.generator, [one.job for one in asked], output))
    files = [Path(one.file).name for one in played]
    manifest.write_text(prompt_table.manifest_text(asked, files), encoding="utf-8")
    output.say(f"{manifest}: score it with `obbligato evaluate {manifest}`")
    answer: dict[str, Any] = {
        "files": [one.file for one in played],
        "rows": [one.number for one in asked],
        "failed": [{"row": one.number, "reason": one.reason} for one in failed],
        "manifest": str(manifest),
        "model": asking.generator.name,
    }
    if output.heard:
        answer["heard"] = _hear(played, output)
    if output.as_json:
        print_json(answer)
    if failed:
        raise typer.Exit(1)
