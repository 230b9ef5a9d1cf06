"""An evaluation as commands and flows request it: its target, its reference, its report's folder.

``python -m flows.models.evaluation REQUEST`` takes a request as JSON, for a flow: models are loaded
in a process that ends.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field, ValidationError, field_validator

from flows.build.recipe_files import load_recipe
from flows.errors import UsageError
from flows.models.memorization import MemorizationRequest, look_for_memorized, with_pairs
from schemas.recipe import Recipe
from schemas.record import Record

if TYPE_CHECKING:  # torch comes with them: wrong usage is to be reported at once
    from training.evaluation.ceilings import CodecOn
    from training.evaluation.clips import ScoredListing
    from training.evaluation.evaluate import Evaluated
    from training.evaluation.memorization.memorization import FoundMemorized
    from training.evaluation.report import EvaluationReport
    from training.generation.generate import Generator

REPORT: Final = "report.json"
PAGE: Final = "index.html"
AUDIO: Final = "audio"
_FRESH: Final = ".fresh"  # a report that is being written, within its folder
Progress = Callable[
    [str, int], Callable[[int], None]
]  # of what is done and how many in all: what is called after each


class EvaluationOptions(Record):
    """How an evaluation is done."""

    # captions of the shards that a model is to play; written from labels, so many of each control
    prompts: Annotated[int, Field(ge=1)] = 50
    # labels: a set for each control, of prompts that state it alone
    prompts_from: Literal["captions", "labels"] = "captions"
    swaps: bool = True  # a model plays each prompt again with one control changed
    graded: bool = False  # and chords changed in each of several ways
    ceilings: bool = True  # recordings of the prompts are scored too, and their codec round trip
    show: Annotated[int, Field(ge=0)] = 200  # clips on the page, with their sound
    most: Annotated[int, Field(ge=2)] = 1000  # samples of reference
    memorized: bool = False  # look for songs learned by heart
    learned_from: tuple[str, ...] = ()  # corpora to look in; the shards, if empty
    # training captions that a model is to play as well; half as many as `prompts`, if none
    prompts_from_train: Annotated[int, Field(ge=0)] | None = None
    # share of clips that may be copies; looks for them where it is set
    max_memorized: Annotated[float, Field(ge=0, le=1)] | None = None
    # of sound, by NAME or NAME=SOURCE: training/evaluation/scorers
    scorers: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()  # annotators of another make that hear the clips, too
    device: str = "auto"  # where a model plays
    # the folder of what plays its levels; empty: as its recipe says; none: Griffin-Lim
    vocoder: str = ""
    upsample: str = ""  # and of what brings its waves to a higher rate
    seed: Annotated[int, Field(ge=0)] = 0  # of a model's noise, and of the draws behind intervals

    @field_validator("scorers", "judges", mode="before")
    @classmethod
    def _listed(cls, names: object) -> object:
        """A text as settings have it, names with commas between them, as names."""
        if not isinstance(names, str):
            return names
        return tuple(name.strip() for name in names.split(",") if name.strip())

    @property
    def looks_for_memorized(self) -> bool:
        """Whether clips are compared with what was learned from."""
        return self.memorized or self.max_memorized is not None


class EvaluationRequest(Record):
    """What to listen to, what to compare it with, and where the report goes."""

    target: str  # a run or a checkpoint, a folder of audio, or a manifest
    shards: str = ""  # with captions for a model, and samples of reference
    out: Path
    manifest: Path | None = None
    compare: Path | None = None  # another report of the same prompts, or its folder
    outside: bool = False  # rows and links may lead to audio outside of the folder
    recipe: Recipe = Recipe()  # what listens
    options: EvaluationOptions = EvaluationOptions()


def run_evaluation(request: EvaluationRequest, progress: Progress) -> "EvaluationReport":
    """Play, listen, compare, and write the report.

    Raises `UsageError` for a folder that cannot hold it, `PipelineError` for a scorer or judge that
    nothing stands behind.
    """
    from pipelines.storage.temporary import temporary_folder

    _check_out(Path(request.target), request.out)
    other = _other_report(request.compare) if request.compare else None
    _check_names(request.options)
    is_model = _is_model(request.target)
    if not is_model:
        _check_for_recordings(request)
    with temporary_folder() as folder:
        scored = (
            _played(request, Path(folder), progress)
            if is_model
            else _ScoredSounds(_listed(request))
        )
        found = _scored(scored, request, progress)
        if other is not None:
            from training.evaluation.comparison import with_comparison

            found = found._replace(report=with_comparison(found.report, other))
        memorized = (
            look_for_memorized(
                scored.listing, _memorization(request, scored.generator), Path(folder), progress
            )
            if request.options.looks_for_memorized
            else None
        )
        return write_report(found, request.out, request.options.show, memorized)


def _memorization(request: EvaluationRequest, generator: "Generator | None") -> MemorizationRequest:
    options = request.options
    prompts = options.prompts_from_train
    return MemorizationRequest(
        generator=generator,
        shards=request.shards,
        learned_from=options.learned_from,
        prompts=(options.prompts + 1) // 2 if prompts is None else prompts,
        seed=options.seed,
    )


class _ScoredSounds(NamedTuple):
    """What is to be scored, and the model of ours that played it."""

    listing: "ScoredListing"
    generator: "Generator | None" = None

    @property
    def codec(self) -> "CodecOn | None":
        """What the model played it through."""
        from training.evaluation.ceilings import CodecOn

        return self.generator and CodecOn(self.generator.codec, self.generator.device)


def _other_report(named: Path) -> "EvaluationReport":
    """The report to compare with: read before anything is played."""
    from training.evaluation.comparison import read_report

    path = named / REPORT if named.is_dir() else named
    if not path.is_file():
        raise UsageError(f"--compare {named} is neither a report.json nor the folder of one")
    return read_report(path.read_bytes(), str(path))


def _scored(scored: _ScoredSounds, request: EvaluationRequest, progress: Progress) -> "Evaluated":
    """Analyse clips, and compare with samples of shards where they are named."""
    from training.evaluation.evaluate import evaluate
    from training.evaluation.reference import read_reference
    from training.evaluation.scorers.opened import open_scorers

    options = request.options
    shards, recipe = request.shards, request.recipe
    scorers = open_scorers(options.scorers, recipe)
    reference = read_reference(shards, recipe, options.most, scorers) if shards else None
    made = scored.listing.made
    found = evaluate(
        scored.listing,
        recipe,
        reference=reference,
        scorers=scorers,
        judges=options.judges,
        seed=options.seed,
        watch=progress("analysed", len(made)),
    )
    if options.ceilings and shards and any(one.reference for one in made):
        return found._replace(report=_with_ceilings(found.report, scored, request, progress))
    return found


def _with_ceilings(
    report: "EvaluationReport",
    scored: _ScoredSounds,
    request: EvaluationRequest,
    progress: Progress,
) -> "EvaluationReport":
    from pipelines.storage.temporary import temporary_folder
    from training.evaluation.ceiling_figures import with_ceilings
    from training.evaluation.ceilings import read_ceilings

    made = scored.listing.made
    keys = {one.reference for one in made if one.reference and not one.swap_of}
    count = len(keys) * (1 if scored.codec is None else 2)
    with temporary_folder() as folder:
        ceilings = read_ceilings(
            made,
            request.shards,
            Path(folder),
            request.recipe,
            codec=scored.codec,
            watch=progress("analysed recordings", count),
        )
    return with_ceilings(report, made, ceilings)


def _listed(request: EvaluationRequest) -> "ScoredListing":
    from training.evaluation.folders import read_folder

    return read_folder(Path(request.target), request.manifest, outside=request.outside)


def _is_model(target: str) -> bool:
    """Whether a target is a training run or one of its checkpoints."""
    from training.run.checkpoints import FOLDER, STATE

    return "://" in target or (Path(target) / STATE).is_file() or (Path(target) / FOLDER).is_dir()


def _check_for_recordings(request: EvaluationRequest) -> None:
    """Refuse what only a model takes, where recordings are scored."""
    named = {"--vocoder": request.options.vocoder, "--upsample": request.options.upsample}
    refused = [flag for flag, value in named.items() if value]
    if refused:
        raise UsageError(
            f"{', '.join(refused)}: {request.target} holds recordings, and these play beside a "
            "model: leave it out, or name a model"
        )


def _played(request: EvaluationRequest, folder: Path, progress: Progress) -> _ScoredSounds:
    """What a model plays for the prompts of held-out samples."""
    from training.evaluation.generated import generate_clips
    from training.evaluation.targets import all_label_prompts, target_prompts, with_swaps
    from training.generation.generate import Generator
    from training.generation.refiners import Refiners

    options = request.options
    if not request.shards:
        raise UsageError(
            f"{request.target} is a model: name the shards whose captions it is to play, after it"
        )
    written = all_label_prompts if options.prompts_from == "labels" else target_prompts
    targets = written(request.shards, options.prompts)
    chosen = with_swaps(targets, graded=options.graded) if options.swaps else targets
    refiners = Refiners(options.vocoder, options.upsample)
    generator = Generator.of(request.target, options.device, refiners)
    listing = generate_clips(
        generator, chosen, folder, seed=options.seed, watch=progress("played", len(chosen))
    )
    return _ScoredSounds(listing, generator)


def _check_names(options: EvaluationOptions) -> None:
    """Refuse a scorer or a judge that is not there before anything is played."""
    from training.evaluation.judges.hearing import check_judges
    from training.evaluation.scorers import SCORERS, scorer_choice

    check_judges(options.judges)
    for named in options.scorers:
        SCORERS.check(scorer_choice(named).name)


def _check_out(target: Path, out: Path) -> None:
    """Refuse a folder whose audio would be scored the next time, or that holds something else."""
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


def write_report(
    found: "Evaluated", out: Path, show: int, memorized: "FoundMemorized | None" = None
) -> "EvaluationReport":
    """Write page, figures, and the audio of the first `show` clips into a folder.

    An earlier report there is replaced once it is whole.
    """
    from flows.screens.evaluation_page import page

    fresh = out / _FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / AUDIO).mkdir(parents=True)
    try:
        report = _with_audio(found, fresh, show)
        if memorized:
            pairs = with_pairs(memorized, fresh, AUDIO, show)
            report = report.replaced(memorized=pairs)
        (fresh / REPORT).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (fresh / PAGE).write_text(page(report, found.estimated), encoding="utf-8")
        shutil.rmtree(out / AUDIO, ignore_errors=True)
        for name in (AUDIO, REPORT, PAGE):
            (fresh / name).replace(out / name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return report


def _with_audio(found: "Evaluated", folder: Path, show: int) -> "EvaluationReport":
    """Copy the sound of the first `show` clips into a folder; returns the report that names it."""
    from training.generation.write import slug

    clips = list(found.report.clips)
    for number, one in enumerate(found.estimated[:show]):
        source = Path(one.made.path)
        name = f"{number:04d}-{slug(Path(one.made.name).stem)}{source.suffix.lower()}"
        shutil.copyfile(source, folder / AUDIO / name)
        clips[number] = clips[number].replaced(audio=f"{AUDIO}/{name}")
    return found.report.replaced(clips=tuple(clips))


class EvaluationChoice(Record):
    """What one line of key=value settings says of an evaluation: its options, and its analysis."""

    options: EvaluationOptions = EvaluationOptions()
    recipe: Recipe = Recipe()


def evaluation_choice(settings: Sequence[str]) -> EvaluationChoice:
    """The choice that settings name: ``key=value`` an option, ``section.key=value`` a recipe knob.

    Raises `UsageError` naming what does not fit.

    >>> chosen = evaluation_choice(["show=20", "swaps=false", "annotate.batch=8"])
    >>> chosen.options.show, chosen.options.swaps, chosen.recipe.annotate.batch
    (20, False, 8)
    """
    pairs = [setting.partition("=") for setting in settings]
    knobs = [setting for setting, (key, _, _) in zip(settings, pairs, strict=True) if "." in key]
    named: dict[str, Any] = {key: value for key, _, value in pairs if "." not in key}
    try:
        options = EvaluationOptions.model_validate(named)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        known = ", ".join(EvaluationOptions.model_fields)
        raise UsageError(
            f"evaluation: {problems}; expected one of {known}, or section.key of the recipe"
        ) from error
    return EvaluationChoice(options=options, recipe=load_recipe(None, knobs))


def main() -> None:
    """Entry point of `python -m flows.models.evaluation`."""
    from flows.screens.evaluation import print_report
    from flows.screens.program import run_program
    from flows.screens.terminal import counting

    def program() -> None:
        print_report(run_evaluation(EvaluationRequest.model_validate_json(sys.argv[1]), counting))

    run_program(program)


if __name__ == "__main__":
    main()
