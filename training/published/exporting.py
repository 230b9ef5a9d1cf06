"""A run of ours written in diffusers' layout and names, for others to open; `importing` reads it
back whole::

    model_index.json
    unet/  scheduler/       the net under the published names, and its noise
    vae/   vocoder/         the codec, where its weights lie in a folder in that layout
    obbligato/              what only we know: recipe, corpora, lineage, and the parts of the net
                            that no published one has

Nothing in it names a folder of this machine.
"""

import json
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

import diffusers
import safetensors.torch

from training.adapters.config import AdapterRecipe
from training.objectives import ObjectiveConfig
from training.objectives.diffusion import DiffusionConfig
from training.objectives.flow import FlowTarget
from training.published.codec_folder import copy_codec
from training.published.reading import LINEAGE, NET, Lineage
from training.published.sources import OURS, REST, new_folder
from training.published.unet_names import (
    has_published_layout,
    published_name,
    published_unet,
    unet_config,
)
from training.run.checkpoints import CORPUS, RECIPE, Checkpoint
from training.run.corpus_survey import CorpusSurvey
from training.run.recipe import TrainRecipe
from training.run.run_state import Parent
from training.run.tensor_files import Weights
from training.run.warm_start import played_model, played_weights

_WEIGHTS: Final = "diffusion_pytorch_model.safetensors"
_AUTOENCODERS: Final = ("audioldm", "vae")  # codecs in diffusers' layout
_LIBRARIES: Final = {
    "vae": ("diffusers", "AutoencoderKL"),
    "vocoder": ("transformers", "SpeechT5HifiGan"),
}


class ExportedModel(NamedTuple):
    """What was exported, for its card."""

    checkpoint: Checkpoint
    recipe: TrainRecipe
    survey: CorpusSurvey
    parents: tuple[Parent, ...]
    opened_by: str  # whose code opens the UNet; empty where there is none
    rest: tuple[str, ...]  # parts of the net that no published one has


def export_model(target: str, out: str) -> ExportedModel:
    """Write the averaged weights of a run or checkpoint, an adapter's merged, into a new folder.

    Raises `TrainingError` where something lies there, or weights cannot be read.
    """
    folder = new_folder(out)
    checkpoint, recipe, survey = played_model(target)
    weights, parents = played_weights(checkpoint), checkpoint.state().parents
    net = {name.removeprefix(NET): one for name, one in weights.items() if name.startswith(NET)}
    is_published = has_published_layout(recipe.model)
    rest = {n: one for n, one in weights.items() if not (is_published and _is_published(n))}
    if has_published_layout(recipe.model):
        _write_tensors(folder / "unet" / _WEIGHTS, published_unet(net))
        _write_json(folder / "unet/config.json", unet_config(recipe.model))
    if scheduler := scheduler_config(recipe.objective):
        _write_json(folder / "scheduler/scheduler_config.json", scheduler)
    if recipe.codec.name in _AUTOENCODERS and os.path.isdir(recipe.codec.source):
        copy_codec(Path(recipe.codec.source), folder)
    _write_json(folder / "model_index.json", _index(folder, recipe))
    _write_tensors(folder / REST, rest)
    handed = _without_places(recipe), _without_folders(survey), _lineage(parents)
    for name, record in zip((RECIPE, CORPUS, LINEAGE), handed, strict=True):
        _write_json(folder / OURS / name, record.model_dump(mode="json"))
    return ExportedModel(
        checkpoint=checkpoint,
        recipe=handed[0],
        survey=handed[1],
        parents=handed[2].parents,
        opened_by=_opened_by(recipe),
        rest=tuple(sorted({name.removeprefix(NET).partition(".")[0] for name in rest})),
    )


def _opened_by(recipe: TrainRecipe) -> str:
    if not (has_published_layout(recipe.model) and scheduler_config(recipe.objective)):
        return ""
    return "Mustango's code" if recipe.model.controls else "diffusers"


def _is_published(name: str) -> bool:
    return name.startswith(NET) and published_name(name.removeprefix(NET)) is not None


def _index(folder: Path, recipe: TrainRecipe) -> dict[str, Any]:
    """Which library opens which part; the text encoder by its name alone."""
    parts = {name: list(how) for name, how in _LIBRARIES.items() if (folder / name).is_dir()}
    if has_published_layout(recipe.model):
        parts["unet"] = ["diffusers", unet_config(recipe.model)["_class_name"]]
    if scheduler := scheduler_config(recipe.objective):
        parts["scheduler"] = ["diffusers", scheduler["_class_name"]]
    return {
        "_class_name": "DiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "text_encoder_name": _place(recipe.text.source),
        **parts,
    }


def scheduler_config(objective: ObjectiveConfig) -> dict[str, Any]:
    """The configuration under which diffusers makes a scheduler of the same noise; empty where it
    has none: its flows take velocities.

    >>> scheduler_config(DiffusionConfig())["prediction_type"]
    'v_prediction'
    """
    if objective.target == FlowTarget.LATENT:
        return {}
    if not isinstance(objective, DiffusionConfig):
        return {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            "shift": objective.shift,  # where it depends on the length, that of shift_frames
        }
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": objective.steps,
        "beta_start": objective.beta_start,
        "beta_end": objective.beta_end,
        "beta_schedule": str(objective.schedule),
        "prediction_type": str(objective.target),
        "rescale_betas_zero_snr": objective.zero_terminal,
        "clip_sample": False,  # latents are not pictures: nothing bounds them
        "timestep_spacing": "trailing",
    }


def _without_places(recipe: TrainRecipe) -> TrainRecipe:
    """Without folders of this machine, and with nothing frozen: all of it is whole now."""
    return recipe.replaced(
        run=recipe.run.replaced(start_from=""),
        data=recipe.data.replaced(shards=(), weights=()),
        codec=recipe.codec.replaced(source=_id_alone(recipe.codec.source), vocoder=""),
        text=recipe.text.replaced(source=_place(recipe.text.source)),
        adapter=AdapterRecipe(),
    )


def _without_folders(survey: CorpusSurvey) -> CorpusSurvey:
    named = [one.replaced(target=one.name or _place(one.target)) for one in survey.datasets]
    return survey.replaced(datasets=tuple(named))


def _lineage(parents: tuple[Parent, ...]) -> Lineage:
    return Lineage(parents=tuple(one.replaced(address=_place(one.address)) for one in parents))


def _place(address: str) -> str:
    """A hub's id or a URL as it is; of a folder its last name alone."""
    is_folder = os.path.isabs(address) or os.path.isdir(address)
    return os.path.basename(address.rstrip("/")) if is_folder else address


def _id_alone(source: str) -> str:
    """A hub's id; empty for a folder, whose content lies beside the net."""
    return source if _place(source) == source else ""


def _write_tensors(path: Path, weights: Weights) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {name: value.contiguous() for name, value in weights.items()}
    safetensors.torch.save_file(whole, path, metadata={"format": "pt"})


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
