"""`obbligato shards export`: samples in the form that others read."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import Force, Json, Target, split_names, written
from flows.errors import UsageError

if TYPE_CHECKING:
    from pipelines.shards.find import ShardProblem
    from schemas.identity import Split
    from schemas.recipe import Recipe

_MUSICBENCH, _WIDS, _ENERGON = "musicbench", "wids", "energon"


def _reader_names() -> list[str]:
    """Whose forms samples are exported in, for a shell."""
    from pipelines.shards.trainers.formats import ExportForm

    return [_MUSICBENCH, *(trainer.value for trainer in ExportForm), _WIDS, _ENERGON]


def export(
    target: Target,
    *,
    out: Annotated[
        str, written("File that is written; with --parts, or for a trainer, the folder.", "FILE")
    ],
    reader: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="READER",
            help=(
                "Whose form: musicbench, a trainer's (acestep, stable-audio-tools, musicgen), or "
                "an index of the shards themselves (wids; energon: a folder of links and indexes)."
            ),
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

    chosen = _split_of(split)
    if reader not in _reader_names():
        raise UsageError(f"--for {reader}: expected {', '.join(_reader_names())}")
    if parts and reader != _MUSICBENCH:
        raise UsageError("--parts are MusicBench's: leave out --for, or --parts")
    if parts:
        _export_parts(target, out, chosen, dataset, force=force, as_json=as_json)
    elif reader == _ENERGON:
        _export_energon(target, out, chosen, force=force, as_json=as_json)
    elif reader in (_MUSICBENCH, _WIDS):
        _export_lines(reader, target, out, chosen, dataset, force=force, as_json=as_json)
    else:
        _export_for(reader, target, out, chosen, dataset, force=force, as_json=as_json)


def _export_lines(
    reader: str,
    target: str,
    out: str,
    split: "Split | None",
    dataset: str,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Write one file: a row of MusicBench for each sample, or what wids asks of each shard."""
    from pipelines.shards import musicbench, wids
    from pipelines.shards.find import ShardProblem, find_shards

    export_file = musicbench.export if reader == _MUSICBENCH else wids.export_index
    rows, problems = 0, []
    for result in export_file(find_shards(target), out, dataset=dataset, split=split, force=force):
        if isinstance(result, ShardProblem):
            problems.append(result)
        else:
            rows += 1
    what = "rows" if reader == _MUSICBENCH else f"shard{'s' * (rows != 1)}"
    print_written(
        {"file": out, "rows": rows}, f"{rows:,} {what} written to {out}", problems, as_json
    )


def _export_energon(
    target: str, out: str, split: "Split | None", *, force: bool, as_json: bool
) -> None:
    """Write a folder of links to shards, with the indexes that Energon asks of them."""
    from pipelines.shards.energon import EnergonShard, export_energon
    from pipelines.shards.find import find_shards

    found = list(export_energon(find_shards(target), out, split=split, force=force))
    shards = [one for one in found if isinstance(one, EnergonShard)]
    problems = [one for one in found if not isinstance(one, EnergonShard)]
    samples = sum(one.samples for one in shards)
    print_written(
        {"folder": out, "shards": len(shards), "samples": samples},
        f"{len(shards):,} shards with {samples:,} samples linked and indexed in {out}",
        problems,
        as_json,
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
    print_written({"folder": out, **fields}, "\n".join(lines), done.problems, as_json)


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
    print_written(summary, "\n".join(lines), done.problems, as_json)


def print_written(
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
