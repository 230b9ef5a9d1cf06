"""A published model in our terms: its recipe, and its tensors by our names."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import ValidationError

from pipelines.errors import DeadInput
from pipelines.guarded.json_objects import json_record
from schemas.record import Record
from training.conditions import ChordRoots, Condition
from training.errors import TrainingError
from training.munet.config import MuNetConfig
from training.objectives import ObjectiveConfig
from training.published import music_tokens
from training.published.foreign_tensors import read_tensors
from training.published.sources import OURS, REST, PublishedFolder
from training.published.unet_names import has_published_layout, our_unet, unet_shape
from training.run.checkpoints import CORPUS, RECIPE
from training.run.corpus_survey import CorpusSurvey
from training.run.presets import ready_recipe
from training.run.recipe import TextRecipe, TrainRecipe
from training.run.run_state import Parent
from training.run.tensor_files import Weights

R = TypeVar("R", bound=Record)
LINEAGE: Final = "lineage.json"  # in a folder that we exported, as is
NET: Final = "munet."
_UNET: Final = "unet."
_TEXT_ENCODER: Final = "text_encoder."
_KNOWN: Final = (
    _UNET,
    _TEXT_ENCODER,
    "FME.",
    "PE.",
    "beat_embedding_layer.",
    "chord_embedding_layer.",
)
_TEXT_TOKENS: Final = 512  # T5's own limit, which the published code keeps
_SCHEDULE: Final = "stable-diffusion-2-1"  # whose schedule, and target of v, our defaults are
_UNET_CONFIGS: Final = (
    "music_diffusion_model_config.json",
    "diffusion_model_config_munet.json",
    "diffusion_model_config.json",
)
_SCHEDULER: Final = {  # diffusers' knobs, and ours
    "num_train_timesteps": "steps",
    "beta_start": "beta_start",
    "beta_end": "beta_end",
    "beta_schedule": "schedule",
    "prediction_type": "target",
    "rescale_betas_zero_snr": "zero_terminal",
}


class Lineage(Record):
    """What the weights of an exported model come from, the oldest first."""

    parents: tuple[Parent, ...] = ()


class PublishedModel(NamedTuple):
    """A published model in our terms; its codec is said where it is written."""

    recipe: TrainRecipe
    weights: Weights
    parents: tuple[Parent, ...] = ()  # its own, as far as it says
    survey: CorpusSurvey | None = None  # of one of ours: what it learned from
    notes: tuple[str, ...] = ()  # what a user should know of how it was read


def read_model(found: PublishedFolder, text: str = "") -> PublishedModel:
    """Read a published model; `text` says where its text encoder lies, if not under the name it
    states.

    Raises `TrainingError` for what is not whole, is of another kind, or holds code.
    """
    if found.main is None:
        raise TrainingError(f"{found.folder} holds no net")
    held = read_tensors(found.main)
    if (found.folder / OURS / RECIPE).is_file():
        return _exported(found, held, text)
    main = found.config("main_config.json") or {}
    if not found.is_diffusers:
        _check_names(found, held)
    unet = held if found.is_diffusers else _within(held, _UNET)
    config = _conditioned(unet_shape(unet, _unet_config(found)))
    weights = _under("munet", our_unet(unet, config))
    if Condition.BEATS in config.controls:
        weights |= _under("beats", music_tokens.our_beats(held))
    if Condition.CHORDS in config.controls:
        weights |= _under("chords", music_tokens.our_chords(held))
    base = ready_recipe("base")
    encoder = text or str(main.get("text_encoder_name", base.text.source))
    recipe = base.replaced(
        model=config,
        objective=_objective(found, main, base.objective),
        text=TextRecipe(source=encoder, max_tokens=_TEXT_TOKENS),
    )
    return PublishedModel(recipe, weights, notes=_notes(held, recipe))


def _exported(found: PublishedFolder, unet: Weights, text: str) -> PublishedModel:
    """A model that we exported: what published nets have too, and what they have not."""
    recipe, survey = _record(found, RECIPE, TrainRecipe), _record(found, CORPUS, CorpusSurvey)
    rest = unet if not found.is_diffusers else read_tensors(found.folder / REST)
    lineage = _record(found, LINEAGE, Lineage)
    weights = dict(rest)
    if has_published_layout(recipe.model):
        weights |= _under("munet", our_unet(unet, recipe.model, among=True))
    if text:
        recipe = recipe.replaced(text=recipe.text.replaced(source=text))
    return PublishedModel(recipe, weights, lineage.parents, survey)


def _record(found: PublishedFolder, name: str, kind: type[R]) -> R:
    path = found.folder / OURS / name
    try:
        return json_record(kind, path.read_bytes())
    except (DeadInput, ValidationError) as error:
        raise TrainingError(f"{path} is not of a model of this version: {error}") from error
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}") from error


def _check_names(found: PublishedFolder, held: Weights) -> None:
    strange = sorted(name for name in held if not name.startswith(_KNOWN))
    if strange:
        raise TrainingError(
            f"{found.main} holds {strange[0]}, which neither TANGO nor Mustango has: it is of "
            "another model"
        )


def _within(held: Weights, prefix: str) -> Weights:
    return {
        name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)
    }


def _under(part: str, held: Weights) -> Weights:
    return {f"{part}.{name}": value for name, value in held.items()}


def _unet_config(found: PublishedFolder) -> Mapping[str, Any] | None:
    """The UNet's own configuration, which TANGO leaves in its code."""
    return found.config("unet/config.json") if found.is_diffusers else found.config(*_UNET_CONFIGS)


def _conditioned(shape: MuNetConfig) -> MuNetConfig:
    """With times and roots as Mustango's embeddings count them."""
    if not shape.controls:
        return shape
    return shape.replaced(
        chord_roots=ChordRoots.TABLE,
        time_unit_s=music_tokens.TIME_UNIT_S,
        time_base=music_tokens.TIME_BASE,
    )


def _objective(
    found: PublishedFolder, main: Mapping[str, Any], base: ObjectiveConfig
) -> ObjectiveConfig:
    """What the net predicts, and its noise; by the name of a scheduler, or its own file."""
    stated = found.config("scheduler/scheduler_config.json")
    name = str(main.get("scheduler_name", _SCHEDULE))
    if stated is not None:
        knobs = {ours: stated[theirs] for theirs, ours in _SCHEDULER.items() if theirs in stated}
        try:
            return base.replaced(**knobs)
        except ValidationError as error:
            first = error.errors()[0]
            raise TrainingError(
                f"{found.folder}/scheduler is not one of ours: {first['loc'][0]}: {first['msg']}"
            ) from error
    if not name.endswith(_SCHEDULE):
        raise TrainingError(
            f"{found.name} was trained with the noise of {name}; put its scheduler_config.json "
            f"into {found.folder}/scheduler"
        )
    return base


def _notes(held: Weights, recipe: TrainRecipe) -> tuple[str, ...]:
    notes = []
    if any(name.startswith(_TEXT_ENCODER) for name in held):
        notes.append(
            f"the text encoder inside is left out, as it was frozen: {recipe.text.source} is read"
        )
    if Condition.CHORDS in recipe.model.controls:
        notes.append(
            "its chords are of ten kinds: suspended ones are taken for major, diminished "
            "sevenths for diminished; its beats count to five"
        )
    return tuple(notes)
