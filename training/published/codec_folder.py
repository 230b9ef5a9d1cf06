"""AudioLDM's autoencoder and vocoder, from whatever published layout, as the folder that our codec
opens: `vae` and `vocoder`, weights in safetensors.
"""

import shutil
from pathlib import Path
from typing import Final

import safetensors.torch

from training.errors import TrainingError
from training.published.audioldm_vae import VAE, VOCODER, write_codec
from training.published.foreign_tensors import read_tensors
from training.published.sources import PublishedFolder

# weights of each part by the names of the libraries that open them, without a suffix: in
# safetensors, and where they lie as a pickle
_WEIGHTS: Final = {
    VAE: ("diffusion_pytorch_model", "diffusion_pytorch_model"),
    VOCODER: ("model", "pytorch_model"),
}
_CONFIG: Final = "config.json"
CODEC_WEIGHTS: Final = f"{VAE}/diffusion_pytorch_model.safetensors"


def import_codec(found: PublishedFolder, folder: Path) -> None:
    """Write the codec of a published model into a folder.

    Raises `TrainingError` where there is none, or it is not AudioLDM's.
    """
    if found.vae is None:
        copy_codec(found.folder, folder)
        return
    config = found.config("vae_config.json")
    if config is None:
        raise TrainingError(f"{found.vae} lies without its vae_config.json")
    write_codec(read_tensors(found.vae), config, folder)


def copy_codec(there: Path, here: Path) -> None:
    """Write an autoencoder and a vocoder in diffusers' layout, as far as there are any, into
    another folder.

    Raises `TrainingError` where a part is not whole.
    """
    for part, (safe, pickled) in _WEIGHTS.items():
        if (there / part).is_dir():
            _copy(there / part, here / part, safe, pickled)


def _copy(there: Path, here: Path, safe: str, pickled: str) -> None:
    """One part in diffusers' layout: safetensors as they are, a pickle's tensors as safetensors."""
    here.mkdir(parents=True)
    made, old = f"{safe}.safetensors", there / f"{pickled}.bin"
    try:
        shutil.copyfile(there / _CONFIG, here / _CONFIG)
        if (there / made).is_file():
            shutil.copyfile(there / made, here / made)
            return
    except OSError as error:
        raise TrainingError(f"{error.filename} cannot be read: {error.strerror}") from error
    if not old.is_file():
        raise TrainingError(f"{there} holds neither {made} nor {old.name}")
    safetensors.torch.save_file(read_tensors(old), here / made, metadata={"format": "pt"})
