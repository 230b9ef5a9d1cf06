"""`obbligato shards ls | show | stats | verify | extract | export | report`: any WebDataset, looked
into.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.export_shards import export, print_written
from flows.cli.options import Force, Json, JsonLines, Target, written
from flows.cli.renamed import Renamed
from flows.cli.report import report_shards
from flows.errors import UsageError

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True, help="Look into shards: ours, or any other WebDataset.")
app.command("report")(report_shards)
app.command("export", cls=Renamed)(export)


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
    print_written(
        {"folder": out, "files": files}, f"{len(files):,} files written to {out}", problems, as_json
    )
