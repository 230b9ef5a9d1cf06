"""A published model read into a run of ours, at step 0: it is played, scored, and trained from as
any other.
"""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from pydantic import ValidationError

from pipelines.codecs import open_codec
from pipelines.pretrained.hub import stated_licence
from pipelines.storage.store import Store, sha256_of
from training.conditions import ChordRoots, Condition
from training.diffusion.model import LatentDiffusion
from training.diffusion.objective import ObjectiveConfig
from training.errors import TrainingError
from training.munet.config import MuNetConfig
from training.prompt_controls.corpus import NEUTRAL
from training.published import music_tokens
from training.published.audioldm_vae import write_codec
from training.published.sources import PublishedFolder, published_folder
from training.published.tensor_files import read_tensors
from training.published.unet_names import our_unet, unet_shape
from training.run import checkpoints
from training.run.checkpoints import CORPUS, EMA, RECIPE, STATE, Parent, Weights
from training.run.corpus_survey import CorpusSurvey
from training.run.presets import ready_recipe
from training.run.recipe import CodecRecipe, TextRecipe, TrainRecipe
from training.run.trainer import check_shapes

CODEC: Final = "codec"  # its folder in an imported run
_AUDIOLDM: Final = "audioldm"
_UNET: Final = "unet."
_TEXT_ENCODER: Final = "text_encoder."
_TEXT_TOKENS: Final = 512  # T5's own limit, which the published code keeps
_SCHEDULE: Final = "stable-diffusion-2-1"  # whose schedule, and target of v, ours are
_SECONDS: Final = 10.24


class Imported(NamedTuple):
    """What was imported, and where it lies."""

    out: str
    parent: Parent
    parameters: int  # 0: a codec alone
    notes: tuple[str, ...]


class _Model(NamedTuple):
    """A published model in our terms."""

    recipe: TrainRecipe
    weights: Weights
    notes: tuple[str, ...]


def import_published(source: str, out: str, *, licence: str = "", text: str = "") -> Imported:
    """Write a published model as a run at step 0, or a codec alone as a folder of it.

    `licence` is that of the weights, where their own card does not state it; `text` where the text
    encoder lies, if not under its published name. Raises `TrainingError` for what is not whole, is
    of another kind, or holds code; and where something lies at `out` already.
    """
    store = Store(out)
    if not store.is_local:
        raise TrainingError(f"{out}: a model is imported into a local folder")
    folder = Path(store.path(""))
    if folder.is_dir() and any(folder.iterdir()):
        raise TrainingError(f"{out} is not empty: name a new folder")
    found = published_folder(source)
    parent = _parent(found, source, licence)
    if found.main is None:
        _import_codec(found, folder)
        return Imported(out, parent, 0, ())
    model = _model(found, text)
    codec = _codec_of(found, folder / CODEC)
    _write(store, model.recipe.replaced(codec=codec), model.weights, parent)
    parameters = sum(value.numel() for value in model.weights.values())
    return Imported(out, parent, parameters, model.notes)


def _parent(found: PublishedFolder, source: str, licence: str) -> Parent:
    file = found.main or found.vae or found.folder / "vae/diffusion_pytorch_model.safetensors"
    try:
        with file.open("rb") as opened:
            sha256 = sha256_of(opened)
    except OSError as error:
        raise TrainingError(f"{file} cannot be read: {error.strerror}") from error
    stated = licence or stated_licence(found.folder)
    return Parent(name=found.name, address=source, sha256=sha256, licence=stated)


def _codec_of(found: PublishedFolder, folder: Path) -> CodecRecipe:
    """The codec of a model, written beside it where it ships with one."""
    if found.vae is None and found.codec is None:
        return CodecRecipe(name=_AUDIOLDM)
    _import_codec(found, folder)
    return CodecRecipe(name=_AUDIOLDM, source=str(folder.resolve()))


def _import_codec(found: PublishedFolder, folder: Path) -> None:
    if found.vae is not None:
        config = found.config("vae_config.json")
        if config is None:
            raise TrainingError(f"{found.vae} lies without its vae_config.json")
        write_codec(read_tensors(found.vae), config, folder)
        return
    raise TrainingError("not yet")


def _model(found: PublishedFolder, text: str) -> _Model:
    """The net and its embeddings, as the published code has them."""
    assert found.main is not None
    held = read_tensors(found.main)
    main = found.config("main_config.json") or {}
    if not str(main.get("scheduler_name", _SCHEDULE)).endswith(_SCHEDULE):
        raise TrainingError(
            f"{found.name} was trained with the schedule of {main['scheduler_name']}; that of "
            f"{_SCHEDULE} is known"
        )
    unet = _within(held, _UNET)
    config = _conditioned(unet_shape(unet, _unet_config(found)))
    weights = {f"munet.{name}": value for name, value in our_unet(unet, config).items()}
    if Condition.BEATS in config.controls:
        weights |= {f"beats.{name}": one for name, one in music_tokens.our_beats(held).items()}
    if Condition.CHORDS in config.controls:
        weights |= {f"chords.{name}": one for name, one in music_tokens.our_chords(held).items()}
    base = ready_recipe("base")
    recipe = base.replaced(
        model=config,
        text=TextRecipe(
            source=text or str(main.get("text_encoder_name", base.text.source)),
            max_tokens=_TEXT_TOKENS,
        ),
    )
    return _Model(recipe, weights, _notes(held, recipe))


def _within(held: Weights, prefix: str) -> Weights:
    return {
        name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)
    }


def _unet_config(found: PublishedFolder) -> Mapping[str, Any] | None:
    """The UNet's own configuration, which TANGO leaves in its code."""
    return found.config("music_diffusion_model_config.json", "diffusion_model_config.json")


def _conditioned(shape: MuNetConfig) -> MuNetConfig:
    """With times and roots as Mustango's embeddings count them."""
    if not shape.controls:
        return shape
    return shape.replaced(
        chord_roots=ChordRoots.TABLE,
        time_unit_s=music_tokens.TIME_UNIT_S,
        time_base=music_tokens.TIME_BASE,
    )


def _notes(held: Weights, recipe: TrainRecipe) -> tuple[str, ...]:
    """What a user should know of how it was read."""
    notes = []
    if any(name.startswith(_TEXT_ENCODER) for name in held):
        notes.append(
            f"the text encoder inside was frozen and is left out: {recipe.text.source} stands for it"
        )
    if Condition.CHORDS in recipe.model.controls:
        notes.append(
            "the published model knows ten kinds of chords: suspended ones are told as major, "
            "diminished sevenths as diminished; and numbers of beats up to five"
        )
    return tuple(notes)


def _write(store: Store, recipe: TrainRecipe, weights: Weights, parent: Parent) -> None:
    with torch.device("meta"):  # shapes alone
        check_shapes(LatentDiffusion(recipe.model, recipe.objective), weights, parent.name)
    codec = open_codec(recipe.codec.name, recipe.codec.source)
    survey = CorpusSurvey(
        datasets=(),
        codec=codec.facts,
        latents=False,
        mean_sentences=1.0,
        statistics=NEUTRAL,
        longest_s=0.0,
    )
    state = {
        "step": 0,
        "parents": [parent.model_dump(mode="json")],
        "torch": torch.__version__,
        "obbligato": importlib.metadata.version("obbligato"),
    }
    documents = {
        RECIPE: recipe.model_dump(mode="json"),
        CORPUS: survey.model_dump(mode="json"),
        STATE: state,
    }
    checkpoints.write(store, 0, weights={EMA: weights}, optimizer=None, documents=documents)
