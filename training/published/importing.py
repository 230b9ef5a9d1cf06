"""A published model written as a run of ours at step 0: it is played, scored, and trained from as
any other.
"""

import hashlib
import importlib.metadata
import os
from pathlib import Path
from typing import Final, NamedTuple

import torch

from pipelines.codecs import open_codec
from pipelines.pretrained.hub import stated_licence
from pipelines.storage.store import Store
from training.diffusion.model import LatentDiffusion
from training.errors import TrainingError
from training.prompt_controls.corpus import NEUTRAL
from training.published.codec_folder import CODEC_WEIGHTS, import_codec
from training.published.reading import PublishedModel, read_model
from training.published.released import released_family, released_recipe, released_weights
from training.published.sources import PublishedFolder, new_folder, published_folder
from training.run import checkpoints
from training.run.checkpoints import CORPUS, EMA, RECIPE, STATE
from training.run.corpus_survey import CorpusSurvey
from training.run.model_weights import check_shapes
from training.run.recipe import TrainRecipe
from training.run.run_state import Parent
from training.run.tensor_files import Weights

_BLOCK: Final = 1 << 20
CODEC: Final = "codec"  # its folder in an imported run


class Imported(NamedTuple):
    """What was imported, and where it lies."""

    out: str
    parent: Parent
    parameters: int  # 0: a codec alone
    notes: tuple[str, ...]


def import_published(
    source: str, out: str, *, licence: str = "", text: str = "", codec: str = ""
) -> Imported:
    """Write a published model as a run at step 0, or a codec alone as a folder of it.

    `licence` is that of the weights, where their own card does not state it; `text` where the text
    encoder lies, if not under its published name; `codec`, as name or name=source, that of a
    transformer's latents. Raises `TrainingError` for what is not whole, is of another kind, or
    holds code; and where something lies at `out` already.
    """
    store = Store(out)
    if not store.is_local:
        raise TrainingError(f"{out}: a model is imported into a local folder")
    folder = new_folder(store.path("."), out)
    found = published_folder(source)
    parent = _parent(found, source, licence)
    if found.main is None:
        import_codec(found, folder)
        return Imported(out, parent, 0, ())
    if family := released_family(found):
        recipe = released_recipe(found, family, codec, text)
        model = PublishedModel(recipe, _whole(recipe, released_weights(found)))
    else:
        model = read_model(found, text)
        recipe = _with_codec(model.recipe, found, folder / CODEC)
    with torch.device("meta"):  # shapes alone
        check_shapes(LatentDiffusion(recipe.model, recipe.objective), model.weights, parent.name)
    _write(store, recipe, model, parent)
    parameters = sum(value.numel() for value in model.weights.values())
    return Imported(out, parent, parameters, model.notes)


def _whole(recipe: TrainRecipe, held: Weights) -> Weights:
    """With what of our net a released one does not hold: the latent of silence, as zeros."""
    with torch.device("meta"):
        own = dict(LatentDiffusion(recipe.model, recipe.objective).named_parameters())
    absent = [name for name in own if name.endswith("silence_C") and name not in held]
    return held | {name: torch.zeros(own[name].shape) for name in absent}


def _parent(found: PublishedFolder, source: str, licence: str) -> Parent:
    digest = hashlib.sha256()
    for file in found.parts or (found.folder / CODEC_WEIGHTS,):
        try:
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise TrainingError(f"{file} cannot be read: {error.strerror}") from error
    address = str(found.folder.resolve()) if os.path.isdir(source) else source
    stated = licence or stated_licence(found.folder)
    return Parent(name=found.name, address=address, sha256=digest.hexdigest(), licence=stated)


def _with_codec(recipe: TrainRecipe, found: PublishedFolder, folder: Path) -> TrainRecipe:
    """With the codec that lies beside the net, written beside the run, if one does."""
    if found.vae is None and found.codec is None:
        return recipe
    import_codec(found, folder)
    return recipe.replaced(codec=recipe.codec.replaced(source=str(folder.resolve())))


def _write(store: Store, recipe: TrainRecipe, model: PublishedModel, parent: Parent) -> None:
    codec = open_codec(recipe.codec.name, recipe.codec.source)
    survey = model.survey or CorpusSurvey(
        datasets=(), codec=codec.facts, latents=False, mean_sentences=1.0, statistics=NEUTRAL
    )
    parents = [one.model_dump(mode="json") for one in (*model.parents, parent)]
    documents = {
        RECIPE: recipe.model_dump(mode="json"),
        CORPUS: survey.model_dump(mode="json"),
        STATE: {
            "step": 0,
            "parents": parents,
            "torch": torch.__version__,
            "obbligato": importlib.metadata.version("obbligato"),
        },
    }
    checkpoints.write(store, 0, weights={EMA: model.weights}, optimizer=None, documents=documents)
