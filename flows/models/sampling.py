"""What a caption and options ask a model to play, read as every way to ask does."""

from typing import NamedTuple

from flows.build.recipe_files import validated_as
from pipelines.labels.transform import cut
from schemas.labels import Labels
from schemas.recipe import Recipe
from training.conditions import Condition
from training.control_predictors.predictors import Predictors
from training.errors import TrainingError
from training.generation.asking import PieceReader
from training.generation.generate import (
    GenerationRequest,
    Generator,
    PiecePlayer,
    unconditioned_notes,
)
from training.generation.steered import (
    ALL_TOLD,
    CONDITION_OF,
    SteerAsk,
    Ways,
    needs_steering,
    return_frames,
    sampling_of,
    way_lines,
)
from training.nets import NetConfig
from training.run.recipe import check_sampling
from training.samplers.config import SamplingConfig
from training.timed_controls.asked import AskedPiece, Filling
from training.timed_controls.files import HERE, AllowedFiles
from training.timed_controls.options import ControlOptions
from training.timed_controls.place import ANYWHERE, PiecePlace
from training.timed_controls.sections import last_end_s
from training.timed_controls.steer_options import SteerOptions

LONGEST_S = 3600.0  # nothing longer is played at once


class SamplerOptions(NamedTuple):
    """How a model samples; none is the model's own."""

    guidance: float | None = None
    steps: int | None = None
    sampler: str | None = None
    gamma: float | None = None


class SamplingRequest(NamedTuple):
    """A piece to be made by a model, how it samples, and what to tell a reader."""

    piece: AskedPiece
    sampling: SamplingConfig
    lines: tuple[str, ...]
    labels: Labels  # of what will be heard: of a loop without its beginning once more
    # what is asked beside controls; none where the model plays it at once, as it is told
    ask: SteerAsk | None = None
    place: PiecePlace = ANYWHERE

    def numbered(self, key: str) -> GenerationRequest:
        """The piece under a key, on which its noise depends."""
        start_s, total_s = self.place.start_s or 0.0, self.place.total_s
        if total_s is None:
            total_s = start_s + self.piece.controls.labels.duration_s
        return GenerationRequest(key, self.piece.prompt, self.piece.controls, start_s, total_s)


def sampling_request(
    generator: Generator,
    caption: str,
    options: ControlOptions,
    *,
    seconds: float | None = None,
    seed: int = 0,
    sampler: SamplerOptions | None = None,
    predictors: Predictors | None = None,
    files: AllowedFiles = HERE,
    steer: SteerOptions | None = None,
    recipe: Recipe | None = None,
    place: PiecePlace = ANYWHERE,
) -> SamplingRequest:
    """A request of a model.

    Its length is `seconds`, else that of its sections, else what the model was trained on; beside a
    recording, that of what is new. The recipe says who hears recordings. Raises `TrainingError` and
    `UsageError` where something cannot be read.
    """
    values = generator.recipe.sampling.model_dump()
    chosen = (sampler or SamplerOptions())._asdict()
    values |= {name: value for name, value in chosen.items() if value is not None}
    sampling = validated_as(SamplingConfig, values, "see `obbligato sample --help`")
    check_sampling(generator.recipe, sampling)
    reader = PieceReader(
        generator,
        caption,
        options,
        steer or SteerOptions(),
        seconds,
        piece_length_s(generator, options, seconds, files),
        Filling(generator.survey.statistics, seed, predictors),
        files,
        recipe or Recipe(),
    )
    piece, ask = reader.read()
    config = generator.recipe.model
    ways = ask.ways(piece.controls, config)
    if chosen["steps"] is None:
        sampling = sampling_of(sampling, ways, ask)
    lines = (
        *piece.lines,
        *unconditioned_notes(piece.controls.labels, config, generator.recipe.data),
        *untaken_notes(piece, config, ways),
        *_place_notes(place.checked(), config),
        *way_lines(ways),
        *generator.notes,
    )
    labels = piece.controls.labels
    needs = needs_steering(ask, ways, labels.duration_s, generator)
    again_s = return_frames(generator) / generator.codec.facts.frames_per_s if ask.loop else 0.0
    heard = cut(labels, labels.duration_s - again_s)
    return SamplingRequest(piece, sampling, lines, heard, ask if needs else None, place)


def piece_length_s(
    player: PiecePlayer, options: ControlOptions, seconds: float | None, files: AllowedFiles = HERE
) -> float:
    """How long a piece is to be: as it is said, or its sections, or what is played at once.

    Raises `TrainingError` for more than `LONGEST_S`.
    """
    length_s = seconds
    if length_s is None and options.sections:
        length_s = last_end_s(options.sections, files)
    if length_s is None:
        length_s = player.seconds
    if length_s > LONGEST_S:
        raise TrainingError(f"{length_s:g} s is more than the {LONGEST_S:g} s of a piece")
    return length_s


class Asking(NamedTuple):
    """A model, and what is asked of it where nothing else is said."""

    generator: Generator
    options: ControlOptions
    seconds: float | None
    seed: int
    sampler: SamplerOptions
    predictors: Predictors | None
    steer: SteerOptions = SteerOptions()
    recipe: Recipe | None = None  # who hears recordings
    place: PiecePlace = ANYWHERE

    @property
    def refined_by(self) -> tuple[str, ...]:
        """What plays beside the model."""
        return self.generator.refined_by

    def request(self, caption: str) -> SamplingRequest:
        """What is asked for with a caption.

        Raises `TrainingError` and `UsageError` where something cannot be read.
        """
        return self.request_of_row(caption, self.options, self.seconds, self.seed, HERE)

    def request_of_row(
        self,
        caption: str,
        options: ControlOptions,
        seconds: float | None,
        seed: int,
        files: AllowedFiles,
        steer: SteerOptions | None = None,
        place: PiecePlace = ANYWHERE,
    ) -> SamplingRequest:
        """What is asked for with options in place of these."""
        return sampling_request(
            self.generator,
            caption,
            options,
            seconds=seconds,
            seed=seed,
            sampler=self.sampler,
            predictors=self.predictors,
            files=files,
            steer=steer or self.steer,
            recipe=self.recipe,
            place=place.over(self.place),
        )


def _place_notes(place: PiecePlace, config: NetConfig) -> tuple[str, ...]:
    """A note where a place is asked of a model that is told none."""
    if not place.is_said or config.seconds:
        return ()
    return (
        "note: this model is not told where in a whole a piece lies (model.seconds): --start and "
        "--total change nothing",
    )


def untaken_notes(piece: AskedPiece, config: NetConfig, ways: Ways = ALL_TOLD) -> tuple[str, ...]:
    """Notes on what was asked for that a model does not take, or not for a part of the time; what a
    loss leads to is taken.
    """
    taken = {
        *config.rows,
        *config.controls,
        *(CONDITION_OF[aim] for aim in ways if aim in CONDITION_OF),
    }
    out = [
        f"note: this model takes no {condition}: what is asked for is in the text at most"
        for condition in Condition
        if condition in piece.stated and condition not in taken
    ]
    for condition, spans in piece.controls.known.items():
        if spans and condition in config.controls and condition not in config.rows:
            out.append(
                f"note: this model takes {condition} for all of the time alone: what is asked for "
                "in parts is all that it is given"
            )
    return tuple(out)
