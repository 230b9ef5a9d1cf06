"""Small models in published layouts on disk, for tests.

`mustango.json` and `vae.json` hold the names and shapes that the published code gives small models
of its own (declare-lab/mustango b7196a3); `mustango.safetensors` and `vae.safetensors`, what that
code computes with the numbers that `filled` puts into them.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from diffusers import UNet2DConditionModel
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from schemas.identity import keyed_rng
from tests.training.munet.test_published_shape import reference
from training.munet.config import MuNetConfig

HERE = Path(__file__).parent
WIDTH = 32  # of the tokens of text, beats and chords


def drawn(name: str, *shape: int) -> torch.Tensor:
    """Normal numbers, the same for the same name."""
    return torch.from_numpy(
        keyed_rng(0, name, "published").standard_normal(shape, dtype=np.float32)
    )


def filled(name: str, *shape: int) -> torch.Tensor:
    """What a tensor of a name holds: weights of about unit gain."""
    numbers = drawn(name, *shape)
    if len(shape) > 1:
        return torch.as_tensor(numbers / math.sqrt(math.prod(shape[1:])))
    return 1 + 0.1 * numbers if name.endswith("weight") else 0.3 * numbers


def golden(name: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(HERE / f"{name}.safetensors")


def stated(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return found


def weights_of(name: str) -> dict[str, torch.Tensor]:
    names: Mapping[str, list[int]] = stated(name)["names"]
    return {tensor: filled(_once(tensor), *shape) for tensor, shape in names.items()}


def _once(name: str) -> str:
    """The name of a module that the published model holds more than once."""
    for held in ("beat_embedding_layer.", "chord_embedding_layer."):
        if name.startswith((f"{held}PE.", f"{held}FME.")):
            return name.removeprefix(held)
    return name


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_bin(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(weights), path)


def write_vae(folder: Path, stem: str = "pytorch_model_vae.bin", configs: str = ".") -> None:
    write_json(folder / configs / "vae_config.json", stated("vae")["vae"])
    write_bin(folder / stem, weights_of("vae"))


def mustango(folder: Path, text: Path) -> Path:
    """Mustango as its hub has it; its predictors, which nobody needs here, are left out."""
    write_vae(folder, "vae/pytorch_model_vae.bin", "configs")
    main = {
        "text_encoder_name": str(text),
        "scheduler_name": "stabilityai/stable-diffusion-2-1",
    }
    write_json(folder / "configs/main_config.json", main)
    write_json(folder / "configs/music_diffusion_model_config.json", stated("mustango")["unet"])
    held = weights_of("mustango") | {"text_encoder.shared.weight": torch.ones(4, WIDTH)}
    write_bin(folder / "ldm/pytorch_model_ldm.bin", held)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-sa-4.0\n---\n# Mustango\n")
    return folder


def tango(folder: Path, text: Path, config: MuNetConfig) -> UNet2DConditionModel:
    """TANGO as its hub has it, with a UNet of diffusers' own, which is returned."""
    torch.manual_seed(0)
    unet = reference(config).eval()
    write_vae(folder)
    main = {
        "text_encoder_name": str(text),
        "scheduler_name": "stabilityai/stable-diffusion-2-1",
        "unet_model_config_path": "configs/diffusion_model_config.json",
        "snr_gamma": 5,
    }
    write_json(folder / "main_config.json", main)
    write_json(folder / "diffusion_model_config.json", dict(unet.config))
    held = {f"unet.{name}": value for name, value in unet.state_dict().items()}
    write_bin(folder / "pytorch_model_main.bin", held)
    return unet


def small_t5(folder: Path) -> Path:
    """A T5 with random weights, as wide as the small models' text."""
    torch.manual_seed(0)
    letters = [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz▁."]
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    T5Tokenizer(vocab=[*marks, *letters]).save_pretrained(folder)
    config = T5Config(vocab_size=64, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder)
    return folder
