"""What a caption and options ask a model to play, read as every way to ask does."""

from typing import NamedTuple

from flows.build.recipe_files import validated_as
from training.control_predictors.predictors import Predictors
from training.diffusion.sampling import SamplingConfig
from training.generation.generate import Generator
from training.prompt_controls.controls import ResolvedControls
from training.prompt_controls.resolve import resolve_controls


class SamplingRequest(NamedTuple):
    """Controls for a model, and how it samples."""

    controls: ResolvedControls
    sampling: SamplingConfig


def sampling_request(
    generator: Generator,
    caption: str,
    *,
    bpm: float | None,
    meter: str | int | None,
    key: str | None,
    chords: str | None,
    seconds: float | None,
    guidance: float | None,
    steps: int | None,
    sampler: str | None,
    seed: int,
    predictors: Predictors | None = None,
) -> SamplingRequest:
    """A request of a model. Options that are None are the model's own, or filled.

    Raises `TrainingError` and `UsageError` where one cannot be read.
    """
    options = {"guidance": guidance, "steps": steps, "sampler": sampler}
    values = generator.recipe.sampling.model_dump()
    values |= {name: value for name, value in options.items() if value is not None}
    sampling = validated_as(SamplingConfig, values, "see `obbligato sample --help`")
    controls = resolve_controls(
        caption,
        bpm=bpm,
        meter=meter,
        key=key,
        chords=chords,
        duration_s=seconds or generator.recipe.data.seconds,
        statistics=generator.survey.statistics,
        seed=seed,
        predictors=predictors,
    )
    return SamplingRequest(controls, sampling)
