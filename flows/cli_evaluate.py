"""`obbligato evaluate`: clips that any system made, scored by whether they play what was asked,
with a page to listen on.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flows.errors import UsageError
from flows.screens.plain import message

if TYPE_CHECKING:
    from schemas.recipe import Recipe
    from training.evaluation.evaluating import Evaluated
    from training.evaluation.made import Listing
    from training.evaluation.report import Report

REPORT: Final = "report.json"
PAGE: Final = "index.html"
AUDIO: Final = "audio"
_FRESH: Final = ".fresh"  # a report that is being written, within its folder


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            help=(
                "A model (a run or a checkpoint), a folder of audio, or a manifest that names "
                "files (CSV, TSV, JSON lines, Parquet)."
            )
        ),
    ],
    shards: Annotated[
        str,
        typer.Argument(
            help=(
                "A build, shards or a URL: music to compare with; its test shards where it has any."
            )
        ),
    ] = "",
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = Path("report"),
    manifest: Annotated[
        Path | None,
        typer.Option(
            help=(
                "A table: file, caption, and bpm, key, chords, meter or beats where they are known."
            )
        ),
    ] = None,
    outside: Annotated[
        bool,
        typer.Option(
            "--outside",
            help=(
                "Rows and links may lead to audio outside of the folder; the report gets a copy "
                "of it."
            ),
        ),
    ] = False,
    embedder: Annotated[
        str, typer.Option(help="bridge, clap, or a plug-in's name; none for the recipe's.")
    ] = "",
    show: Annotated[int, typer.Option(min=0, help="Clips on the page, with their sound.")] = 200,
    most: Annotated[int, typer.Option(min=2, help="Reference samples to compare with.")] = 1000,
    prompts: Annotated[
        int, typer.Option(min=1, help="Captions of the shards that a model is to play.")
    ] = 50,
    swaps: Annotated[
        bool,
        typer.Option(
            help=(
                "Let a model also play each prompt with one control changed, and see whether "
                "that and only that changes."
            )
        ),
    ] = True,
    device: Annotated[str, typer.Option(help="Where a model plays: auto, cpu or cuda.")] = "auto",
    seed: Annotated[
        int, typer.Option(min=0, help="Of a model's noise, and of the draws behind intervals.")
    ] = 0,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="A recipe in TOML, or a ready one's name.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="One knob of the recipe, such as label.model or annotate.device. Repeatable.",
        ),
    ] = None,
) -> None:
    """Score a model, or a folder of music: does it play what its prompts ask for, and how near is
    it to them and to other music?
    """
    from flows.build.recipe_files import load_recipe
    from pipelines.storage.temporary import temporary_folder

    _check_out(Path(target), out)
    chosen = load_recipe(
        recipe, [*(settings or []), *([f"label.embedder={embedder}"] if embedder else [])]
    )
    with temporary_folder() as folder:
        if _is_model(target):
            listing = _played(target, shards, prompts, swaps, seed, device, Path(folder))
        else:
            listing = _listed(target, manifest, outside)
        report = report_on(listing, chosen, shards, out, most=most, seed=seed, show=show)
    print_report(report)
    typer.echo(f"look and listen:  {out / PAGE}")


def report_on(
    listing: "Listing", recipe: "Recipe", shards: str, out: Path, *, most: int, seed: int, show: int
) -> "Report":
    """Listen to clips, compare with up to `most` samples of shards where they are named, and write
    the report.
    """
    from flows.screens.terminal import counting
    from training.evaluation.evaluating import evaluate as run_evaluation
    from training.evaluation.reference import read_reference

    reference = read_reference(shards, recipe, most) if shards else None
    found = run_evaluation(
        listing, recipe, reference=reference, seed=seed, watch=counting("heard", len(listing.made))
    )
    return write_report(found, out, show)


def _listed(target: str, manifest: Path | None, outside: bool) -> "Listing":
    from training.evaluation.folders import read_folder

    return read_folder(Path(target), manifest, outside=outside)


def _is_model(target: str) -> bool:
    """Whether a target is a training run or one of its checkpoints."""
    from training.run.checkpoint_files import STATE
    from training.run.checkpoints import FOLDER

    return "://" in target or (Path(target) / STATE).is_file() or (Path(target) / FOLDER).is_dir()


def _played(
    target: str, shards: str, prompts: int, swaps: bool, seed: int, device: str, folder: Path
) -> "Listing":
    """What a model plays for the captions of held-out samples."""
    from flows.screens.terminal import counting
    from training.evaluation.played import played
    from training.evaluation.wanted import wanted_of, with_swaps
    from training.generation.generate import Player

    if not shards:
        raise UsageError(
            f"{target} is a model: name the shards whose captions it is to play, after it"
        )
    wanted = wanted_of(shards, prompts)
    chosen = with_swaps(wanted) if swaps else wanted
    return played(
        Player.of(target, device), chosen, folder, seed=seed, watch=counting("played", len(chosen))
    )


def _check_out(target: Path, out: Path) -> None:
    """The report's audio must not be scored the next time, and nothing of anybody's is
    overwritten.
    """
    folder = (
        target if target.is_dir() else target.parent
    )  # a manifest's: searched for audio that no row names
    if target.exists() and out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"--out {out} lies in {folder}: its audio would be counted the next time; name "
            "another folder"
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: name a folder")
    if (
        out.is_dir()
        and any(one.name != _FRESH for one in out.iterdir())
        and not (out / REPORT).exists()
    ):
        raise UsageError(f"--out {out} holds something else than a report: name a new folder")


def write_report(found: "Evaluated", out: Path, show: int) -> "Report":
    """Write page, figures, and the sound of the first `show` clips into a folder; an earlier report
    there is replaced once it is whole.
    """
    from flows.screens.evaluation_page import page

    fresh = out / _FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / AUDIO).mkdir(parents=True)
    try:
        report = _with_audio(found, fresh, show)
        (fresh / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / PAGE).write_text(page(report, found.heard), encoding="utf-8")
        shutil.rmtree(out / AUDIO, ignore_errors=True)
        for name in (AUDIO, REPORT, PAGE):
            (fresh / name).replace(out / name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return report


def _with_audio(found: "Evaluated", folder: Path, show: int) -> "Report":
    """Copy the sound of the first `show` clips into a folder; returns the report that names it."""
    from training.generation.write import slug

    clips = list(found.report.clips)
    for number, one in enumerate(found.heard[:show]):
        source = Path(one.made.path)
        name = f"{number:04d}-{slug(Path(one.made.name).stem)}{source.suffix.lower()}"
        shutil.copyfile(source, folder / AUDIO / name)
        clips[number] = clips[number].replaced(audio=f"{AUDIO}/{name}")
    return found.report.replaced(clips=tuple(clips))


def print_report(report: "Report") -> None:
    """The figures, in a terminal's lines."""
    from rich.table import Table

    from flows.screens.terminal import console

    counts = report.counts
    alone = f"; of those scored {counts.swaps} in the swap test alone" if counts.swaps else ""
    console.print(
        f"{counts.given} given = {counts.scored} scored + {counts.dead} dead + {counts.skipped} "
        f"skipped{alone}"
    )
    for problem in report.problems[:5]:
        console.print(f"  {message(f'{problem.name}: {problem.reason}')}")
    published = {one.name: one for one in report.published}
    table = Table("metric", "", "%", "95 %", "chance", "clips", "as published", box=None)
    for one in report.figures:
        other = published.get(one.name)
        table.add_row(
            one.name,
            one.meaning,
            f"{100 * one.value:.1f}",
            f"{100 * one.low:.1f} – {100 * one.high:.1f}",
            "–" if one.chance is None else f"{100 * one.chance:.1f}",
            str(one.clips),
            f"{100 * other.value:.1f} of {other.clips}" if other else "–",
        )
    console.print(table if report.figures else "no prompt states a tempo, key, chords or a meter")
    space = report.space
    if space.prompt_cosine:
        name, score = "CLAP score" if space.is_clap else "cosine with prompts", space.prompt_cosine
        console.print(
            f"{name} {score.value:.3f} ({score.low:.3f} – {score.high:.3f}) of {score.clips} "
            f"clips, by {space.embedder}"
        )
    if space.frechet is not None:
        console.print(
            f"Fréchet distance {space.frechet:.4f} ({space.frechet_clips} clips, "
            f"{space.reference_clips} of reference)"
        )
    if space.kl_sets is not None:
        console.print(f"KL of {space.classes} classes {space.kl_sets:.4f}")
    for swap in report.swaps.swaps if report.swaps else ():
        console.print(
            f"swap of {swap.control}: followed in {100 * swap.followed.value:.0f} % of {swap.pairs}"
        )
