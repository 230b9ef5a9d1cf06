"""CLAP (Wu et al., ICASSP 2023) by transformers: LAION's music checkpoint, or any of the kind, by
id or folder.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from pipelines.embedders import ClipSound, Description, Vectors, unit
from pipelines.embedders.clap_sound import ClapSound, windows
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import STORED, first_line
from pipelines.pretrained.hub import model_folder, stated_licence, weights_checksum
from schemas.label_recipe import LabelRecipe

_MAX_TOKENS: Final = 77  # LAION trained with 77


def describe(recipe: LabelRecipe) -> Description:
    """What the recipe's CLAP model is, from its folder's files."""
    folder = model_folder(recipe.model)
    config, sound = _json(folder / "config.json"), _json(folder / "preprocessor_config.json")
    if config.get("model_type") != "clap":
        raise PipelineError(
            f"label.model {recipe.model} is a {config.get('model_type')} model, not clap"
        )
    return Description(
        name=f"clap {Path(recipe.model).name}",
        version=weights_checksum(folder),
        licence=stated_licence(folder),
        dimension=int(config.get("projection_dim", 512)),
        rate_hz=int(sound.get("sampling_rate", 48_000)),
        window_s=float(sound.get("max_length_s", 10)),
    )


def load(recipe: LabelRecipe) -> "Clap":
    """The recipe's CLAP model, on its device."""
    return Clap(model_folder(recipe.model), recipe.device, recipe.batch)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"{path} cannot be read: {error}; a CLAP model's folder has one"
        ) from error
    return found


class Clap:
    """A CLAP model. On CUDA it computes in half precision."""

    def __init__(self, folder: Path, device: str, batch: int) -> None:
        from transformers import AutoTokenizer, ClapModel

        self._device, self._batch = torch.device(device), batch
        try:
            model: Any = ClapModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            self._tokens: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:
            # configurations and weights of others bring libraries to raise anything
            raise PipelineError(
                f"no CLAP model at {folder}: expected a folder with {STORED} ({first_line(error)})"
            ) from error
        self._model = model.eval().to(self._device)
        self._sound = ClapSound.of(folder, self._device)

    @torch.inference_mode()
    def embed_audio(self, sounds: Sequence[ClipSound]) -> Vectors:
        """The mean over each clip's windows of 10 s, as in Noise2Music."""
        if not sounds:
            return np.zeros((0, self._model.config.projection_dim), np.float32)
        cut = [windows(sound.wave, self._sound.samples) for sound in sounds]
        flat = [window for of_one in cut for window in of_one]
        found = np.concatenate(
            [
                self._embedded(flat[start : start + self._batch])
                for start in range(0, len(flat), self._batch)
            ]
        )
        ends = np.cumsum([len(of_one) for of_one in cut])
        return unit(np.stack([part.mean(axis=0) for part in np.split(found, ends[:-1])]))

    def _embedded(self, batch: Sequence[Any]) -> Vectors:
        waves_BT = torch.from_numpy(np.stack(batch)).to(self._device, non_blocking=True)
        features_BCTF = self._sound.features(waves_BT)
        is_longer = torch.zeros(len(batch), 1, dtype=torch.bool, device=self._device)
        with self._half():
            found = self._model.get_audio_features(
                input_features=features_BCTF, is_longer=is_longer
            )
        return _vectors(found)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """One vector per text; what is beyond 77 tokens is not read.

        Texts of like length are read together.
        """
        order = sorted(range(len(texts)), key=lambda index: (len(texts[index]), texts[index]))
        out = np.zeros((len(texts), self._model.config.projection_dim), np.float32)
        for start in range(0, len(order), self._batch):
            indices = order[start : start + self._batch]
            given = self._tokens(
                [texts[index] for index in indices],
                padding=True,
                truncation=True,
                max_length=_MAX_TOKENS,
                return_tensors="pt",
            )
            with self._half():
                found = self._model.get_text_features(
                    input_ids=given["input_ids"].to(self._device),
                    attention_mask=given["attention_mask"].to(self._device),
                )
            out[indices] = _vectors(found)
        return unit(out)

    def _half(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.float16, enabled=self._device.type == "cuda")


def _vectors(found: Any) -> Vectors:
    vectors: Vectors = found.pooler_output.float().cpu().numpy()
    return vectors
