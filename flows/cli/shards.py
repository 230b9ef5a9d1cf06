"""`obbligato shards ls | show | stats | verify | extract | export | report`: any WebDataset, looked
into.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import Force, Json, JsonLines, Target, split_names, written
from flows.cli.renamed import Renamed
from flows.cli.report import report_shards
from flows.errors import UsageError

if TYPE_CHECKING:
    from pipelines.shards.find import ShardProblem
    from schemas.identity import Split
    from schemas.recipe import Recipe

_MUSICBENCH = "musicbench"
app = typer.Typer(no_args_is_help=True, help="Look into shards: ours, or any other WebDataset.")
app.command("report")(report_shards)


def _reader_names() -> list[str]:
    """Whose forms samples are exported in, for a shell."""
    from pipelines.shards.trainers.formats import ExportForm

    return [_MUSICBENCH, *(trainer.value for trainer in ExportForm)]


@app.command("ls")
def list_shards(target: Target, as_json: JsonLines = False) -> None:
    """List shards: split, samples, hours, size, problems, and totals."""
    from flows.screens.shards import print_shards
    from flows.screens.terminal import console
    from pipelines.shards import stats as shard_stats
    from pipelines.shards.find import find_shards

    rows = shard_stats.list_shards(find_shards(target))
    if as_json:
        for row in rows:
            typer.echo(row.model_dump_json())
        return
    with console.status("reading shards"):
        collected = list(rows)
    print_shards(console, collected)


@app.command()
def show(
    target: Target,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="A sample's key, or the start of one; none for the first with a caption.",
        ),
    ] = "",
    as_json: Json = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the sample into this SVG file as well.")
    ] = None,
) -> None:
    """Show one sample: a lead sheet with captions, change and provenance, or what is known of a
    foreign one.
    """
    from flows.screens.shards import print_sample
    from flows.screens.terminal import console
    from pipelines.shards.find import find_shards
    from pipelines.shards.pick import pick

    if picture and picture.suffix.lower() != ".svg":
        raise UsageError(f"--picture {picture}: a picture is an SVG file, such as sample.svg")
    found = find_shards(target)
    picked = pick(found, key)
    if picture:
        from flows.screens.sample_picture import write_picture

        write_picture(picture, found, picked)
        typer.echo(f"picture of {picked.raw.key}: {picture}", err=as_json)
    if not as_json:
        print_sample(console, picked)
        return
    members = [{"extension": part.extension, "bytes": part.size} for part in picked.raw.parts]
    texts = {part.extension: text for part, text in picked.texts}
    problems = [problem.model_dump() for problem in picked.problems]
    fields = {
        "shard": picked.raw.shard,
        "key": picked.raw.key,
        "ours": picked.ours is not None,
        "members": members,
        "audio": picked.sound._asdict() if picked.sound else None,
        "json": picked.raw.facts,
        "texts": texts,
        "problems": problems,
    }
    typer.echo(json.dumps(fields))


@app.command()
def stats(target: Target, as_json: Json = False) -> None:
    """Count samples, hours, splits, changes, keys, tempi, meters, chords, captions, licences."""
    from flows.screens.stats import print_stats
    from flows.screens.terminal import console
    from pipelines.shards.find import find_shards
    from pipelines.shards.stats import count_all

    with console.status("reading shards"):
        counted = count_all(find_shards(target))
    if as_json:
        typer.echo(json.dumps(counted.as_json()))
    else:
        print_stats(console, counted)


@app.command()
def verify(target: Target, as_json: Json = False) -> None:
    """Check shards: one line per problem and exit status 1, or one line that says what was
    checked.
    """
    from flows.screens.shards import problem_line
    from pipelines.shards.check import Checked, check
    from pipelines.shards.find import ShardProblem, find_shards

    checked = Checked(0, 0, 0.0)
    problems: list[ShardProblem] = []
    for result in check(find_shards(target)):
        if isinstance(result, ShardProblem):
            problems.append(result)
            if not as_json:
                typer.echo(problem_line(result))
        else:
            checked = Checked(
                checked.shards + result.shards,
                checked.samples + result.samples,
                checked.duration_s + result.duration_s,
            )
    if as_json:
        typer.echo(
            json.dumps(
                {**checked._asdict(), "problems": [problem.model_dump() for problem in problems]}
            )
        )
    else:
        read = (
            f"{checked.samples:,} samples in {checked.shards:,} "
            f"shard{'s' * (checked.shards != 1)}, {checked.duration_s / 3600:.2f} hours"
        )
        typer.echo(
            f"{len(problems):,} problems; read {read}" if problems else f"OK: {read}",
            err=bool(problems),
        )
    if problems:
        raise typer.Exit(1)


@app.command(cls=Renamed)
def extract(
    target: Target,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Keys, or starts of keys; none for all samples."),
    ] = None,
    *,
    out: Annotated[str, written("Folder or URL to write into.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write samples' audio and indented JSON as files, under safe names."""
    from pipelines.shards import extract as shard_extract
    from pipelines.shards.find import ShardProblem, find_shards

    files, problems = [], []
    for result in shard_extract.extract(find_shards(target), out, keys or [], force=force):
        if isinstance(result, ShardProblem):
            problems.append(result)
        else:
            files.append(result)
    _print_written(
        {"folder": out, "files": files}, f"{len(files):,} files written to {out}", problems, as_json
    )


@app.command(cls=Renamed)
def export(
    target: Target,
    *,
    out: Annotated[
        str, written("File of JSON lines; with --parts, or for a trainer, the folder.", "FILE")
    ],
    trainer: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="READER",
            help="Whose form: musicbench, or a trainer's: acestep, stable-audio-tools, musicgen.",
            autocompletion=_reader_names,
        ),
    ] = _MUSICBENCH,
    split: Annotated[
        str,
        typer.Option(
            metavar="SPLIT",
            help="Only this split: train, validation or test.",
            autocompletion=split_names,
        ),
    ] = "",
    parts: Annotated[
        bool,
        typer.Option(
            "--parts",
            help=(
                "The published set's parts, a file each: TrainA, B, C, train_augmented, train, "
                "TestA, B."
            ),
        ),
    ] = False,
    dataset: Annotated[
        str, typer.Option(help="The data set's name, as its files state it.")
    ] = "obbligato",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write our samples as JSON lines with the sixteen fields of MusicBench, whose audio `extract`
    writes, or for a trainer: audio cut at bar lines, texts, and facts of which labels are sure.
    """
    from pipelines.shards import musicbench
    from pipelines.shards.find import ShardProblem, find_shards

    chosen = _split_of(split)
    if trainer not in _reader_names():
        raise UsageError(f"--for {trainer}: expected {', '.join(_reader_names())}")
    if trainer != _MUSICBENCH:
        if parts:
            raise UsageError("--parts are MusicBench's: leave out --for, or --parts")
        _export_for(trainer, target, out, chosen, dataset, force=force, as_json=as_json)
        return
    if parts:
        _export_parts(target, out, chosen, dataset, force=force, as_json=as_json)
        return
    rows, problems = 0, []
    for result in musicbench.export(
        find_shards(target), out, dataset=dataset, split=chosen, force=force
    ):
        if isinstance(result, ShardProblem):
            problems.append(result)
        else:
            rows += 1
    _print_written(
        {"file": out, "rows": rows}, f"{rows:,} rows written to {out}", problems, as_json
    )


def _split_of(name: str) -> "Split | None":
    from schemas.identity import Split

    if name and name not in split_names():
        raise UsageError(f"--split {name}: expected {', '.join(split_names())}")
    return Split(name) if name else None


def _recipe_of(target: str) -> "Recipe":
    """The recipe of a build, or the default where the shards are of none."""
    from flows.build.run_step import stored_build
    from schemas.recipe import Recipe

    try:
        return stored_build(target)[1]
    except UsageError:
        return Recipe()


def _export_for(
    trainer: str,
    target: str,
    out: str,
    split: "Split | None",
    dataset: str,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Write a trainer's data set, with the confidences of the build's recipe, or the default's."""
    from pipelines.shards.find import find_shards
    from pipelines.shards.trainers.export import export_for
    from pipelines.shards.trainers.formats import ExportForm

    found, recipe = find_shards(target), _recipe_of(target)
    done = export_for(
        ExportForm(trainer), found, out, recipe=recipe, dataset=dataset, split=split, force=force
    )
    lines = [f"{name:12}{count:>9,} segments" for name, count in done.segments.items()]
    lines += [
        f"{count:,} left out: {reason.replace('_', ' ')}" for reason, count in done.left_out.items()
    ]
    lines += [
        f"{count:,} under {licence or 'no stated licence'}"
        for licence, count in done.licences.items()
    ]
    lines.append(
        f"{done.samples:,} samples of {done.sample_seconds / 3600:.2f} hours, "
        f"{done.seconds / 3600:.2f} of them in segments; written to {out}"
    )
    fields = {name: value for name, value in done._asdict().items() if name != "problems"}
    _print_written({"folder": out, **fields}, "\n".join(lines), done.problems, as_json)


def _export_parts(
    target: str, out: str, split: "Split | None", dataset: str, *, force: bool, as_json: bool
) -> None:
    """Write the parts, with the seed and filter words of the build's recipe, or of the default."""
    from pipelines.shards.find import find_shards
    from pipelines.shards.musicbench_parts import export_parts

    if split:
        raise UsageError("--parts are of train and test as they are: leave out --split")
    found, recipe = find_shards(target), _recipe_of(target)
    done = export_parts(
        found, out, dataset=dataset, seed=recipe.corpus.seed, words=recipe.filter.words, force=force
    )
    lines: list[str] = []
    for part, rows in done.rows.items():
        skipped = done.skipped[part].items()
        reasons = "".join(f", {count:,} skipped: {why}" for why, count in skipped)
        lines.append(f"{part:16}{rows:>9,} rows{reasons}")
    outside = "".join(f", {count:,} of no part: {what}" for what, count in done.of_no_part.items())
    lines.append(f"{done.samples:,} samples read{outside}; written to {out}")
    summary = {
        "folder": out,
        "rows": done.rows,
        "skipped": done.skipped,
        "samples": done.samples,
        "of_no_part": done.of_no_part,
    }
    _print_written(summary, "\n".join(lines), done.problems, as_json)


def _print_written(
    done: dict[str, Any], line: str, problems: "Sequence[ShardProblem]", as_json: bool
) -> None:
    """Say what was written; problems go to standard error and make the exit status 1."""
    from flows.screens.shards import problem_line

    if as_json:
        typer.echo(json.dumps({**done, "problems": [problem.model_dump() for problem in problems]}))
    else:
        for problem in problems:
            typer.echo(problem_line(problem), err=True)
        typer.echo(line)
    if problems:
        raise typer.Exit(1)
