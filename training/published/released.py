"""Released transformers, as diffusers' folders have them, in our terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from pipelines.codecs import open_codec
from training.errors import TrainingError
from training.objectives import ObjectiveConfig
from training.objectives.diffusion import BetaSchedule, DiffusionConfig
from training.objectives.flow import FlowConfig
from training.published.foreign_tensors import read_tensors
from training.published.sources import PublishedFolder
from training.released.config import Family, ReleasedConfig
from training.run.presets import ready_recipe
from training.run.recipe import CodecRecipe, TextRecipe, TrainRecipe
from training.run.tensor_files import Weights
from training.samplers.config import Sampler

TRANSFORMER: Final = "transformer"
_PROJECTION: Final = "projection_model"
_CONFIG: Final = "config.json"
_FILES: Final = "diffusion_pytorch_model*.safetensors"
_CLASS: Final = "_class_name"
_NAME: Final = "released"


def released_family(found: PublishedFolder) -> Family | None:
    """Which released transformer lies in a folder, if one does."""
    stated = (found.config(f"{TRANSFORMER}/{_CONFIG}") or {}).get(_CLASS)
    return next((family for family in Family if family == stated), None)


def released_recipe(found: PublishedFolder, family: Family, codec: str, text: str) -> TrainRecipe:
    """The recipe of a released transformer, with `base`'s ways of learning.

    Its latents are those of a codec that is not among what it ships, so that is named; as is the
    text encoder whose states it reads. Raises `TrainingError` where they do not fit.
    """
    if not codec or not text:
        raise TrainingError(
            f"{found.name} is a transformer alone here: name the codec of its latents and the text "
            "encoder whose states it reads (obbligato import --codec … --text …)"
        )
    name, _, source = codec.partition("=")
    facts = open_codec(name, source).facts
    shape = _shape(found, TRANSFORMER)
    projection = _shape(found, _PROJECTION) if (found.folder / _PROJECTION).is_dir() else {}
    base = ready_recipe("base")
    try:
        model = ReleasedConfig(
            family=family,
            shape=shape,
            projection=projection,
            latent_channels=facts.channels,
            latent_bands=facts.bands,
            text_width=_text_width(shape, projection),
            seconds=bool(projection),
        )
    except ValidationError as error:
        raise TrainingError(f"{found.name}: {error.errors()[0]['msg']}") from error
    return base.replaced(
        model=model,
        objective=_objective(family),
        codec=CodecRecipe(name=name, source=source),
        text=TextRecipe(source=text),
        sampling=base.sampling.replaced(sampler=Sampler.DPM_SOLVER, steps=50),
    )


def released_weights(found: PublishedFolder) -> Weights:
    """Its tensors by our names."""
    weights = _within(found.folder / TRANSFORMER, f"{_NAME}.base")
    if (found.folder / _PROJECTION).is_dir():
        weights |= _within(found.folder / _PROJECTION, f"{_NAME}.projection")
    return weights


def _within(folder: Path, part: str) -> Weights:
    files = sorted(folder.glob(_FILES))
    if not files:
        raise TrainingError(f"{folder} holds no {_FILES}: pickles are not read here")
    return {f"{part}.{name}": value for file in files for name, value in read_tensors(file).items()}


def _shape(found: PublishedFolder, part: str) -> dict[str, Any]:
    stated: Mapping[str, Any] = found.config(f"{part}/{_CONFIG}") or {}
    return {knob: value for knob, value in stated.items() if not knob.startswith("_")}


def _text_width(shape: Mapping[str, Any], projection: Mapping[str, Any]) -> int:
    """Of the states that come in: before the projection, or as the transformer takes them."""
    widths = (
        projection.get("text_encoder_dim"),
        shape.get("cross_attention_input_dim"),
        shape.get("encoder_hidden_size"),
        shape.get("hidden_size"),
    )
    return next(int(width) for width in widths if width)


def _objective(family: Family) -> ObjectiveConfig:
    """What it was trained to predict."""
    if family is Family.ACE_STEP:
        return FlowConfig()
    return DiffusionConfig(schedule=BetaSchedule.COSINE, snr_gamma=None)
