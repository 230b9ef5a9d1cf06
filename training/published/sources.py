"""What a folder of a published model holds, and where; by path, or by its id on a hub.

Layouts known::

    Mustango    ldm/pytorch_model_ldm.bin   vae/pytorch_model_vae.bin   configs/*.json
    TANGO       pytorch_model_main.bin      pytorch_model_vae.bin       *.json
    AudioLDM    pytorch_model_vae.bin and vae_config.json; or vae/ and vocoder/ of diffusers
    diffusers   unet/   vae/   vocoder/   scheduler/   and, where we wrote it, obbligato/
    released    transformer/   projection_model/

A file that ends in .safetensors stands for one that ends in .bin.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.errors import DeadInput
from pipelines.guarded.json_objects import json_object
from pipelines.pretrained.hub import pinned
from training.errors import TrainingError

OURS: Final = "obbligato"  # what only we know of a model, in a folder of diffusers' layout
_SUFFIXES: Final = (".safetensors", ".bin")
_PATTERNS: Final = ("*.json", "*.safetensors", "*.bin", "README.md")
_REST: Final = f"{OURS}/rest"
REST: Final = f"{_REST}.safetensors"  # the parts of a net that no published one has
_PREDICTORS: Final = ("beats/*", "chords/*")  # of Mustango: gigabytes that nobody reads here
_MAIN: Final = (
    "ldm/pytorch_model_ldm",
    "pytorch_model_main",
    "unet/diffusion_pytorch_model",
    _REST,
)
TRANSFORMER: Final = "transformer/diffusion_pytorch_model*.safetensors"  # large ones in parts
_VAE: Final = ("vae/pytorch_model_vae", "pytorch_model_vae")
_CONFIGS: Final = ("configs", ".")
_EXPECTED: Final = (
    "expected Mustango's (ldm/pytorch_model_ldm.bin), TANGO's (pytorch_model_main.bin), "
    "AudioLDM's autoencoder (pytorch_model_vae.bin, or vae/ and vocoder/), or diffusers' (unet/)"
)


class PublishedFolder(NamedTuple):
    """A published model, unread."""

    name: str  # as its user named it
    folder: Path
    main: Path | None  # weights of the net
    vae: Path | None  # of the autoencoder with the vocoder, in CompVis's names

    @property
    def parts(self) -> tuple[Path, ...]:
        """The files of its weights, one after the other."""
        if self.main is None or self.main.parent.name != "transformer":
            return tuple(file for file in (self.main or self.vae,) if file)
        return tuple(sorted(self.folder.glob(TRANSFORMER)))

    @property
    def is_diffusers(self) -> bool:
        """Whether the net lies by itself, as diffusers has it."""
        return self.main is not None and self.main.parent.name == "unet"

    @property
    def codec(self) -> Path | None:
        """The folder of a codec that is in diffusers' layout already."""
        return self.folder if (self.folder / "vae").is_dir() and self.vae is None else None

    def config(self, *names: str) -> Mapping[str, Any] | None:
        """The first of these JSON files that is there.

        Raises `TrainingError` for one that is no JSON object.
        """
        for name in names:
            for place in _CONFIGS:
                path = self.folder / place / name
                if path.is_file():
                    return _json(path)
        return None


def published_folder(source: str) -> PublishedFolder:
    """What lies at a folder, or at a hub's id, which is downloaded.

    Raises `TrainingError` where it cannot be had, or nothing that is known lies there.
    """
    folder = Path(source) if os.path.isdir(source) else _downloaded(source)
    in_parts = sorted(folder.glob(TRANSFORMER))
    main, vae = _first(folder, _MAIN) or next(iter(in_parts), None), _first(folder, _VAE)
    name = source if folder != Path(source) else folder.resolve().name
    found = PublishedFolder(name, folder, main, vae)
    if main is None and vae is None and found.codec is None:
        raise TrainingError(f"{source} holds no model that can be imported: {_EXPECTED}")
    return found


def _first(folder: Path, stems: tuple[str, ...]) -> Path | None:
    paths = [folder / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
    return next((path for path in paths if path.is_file()), None)


def _downloaded(source: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, revision = pinned(source)
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(_PATTERNS),
                ignore_patterns=list(_PREDICTORS),
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise TrainingError(
            f"{source} is not a folder, and cannot be had from the hub: {first}"
        ) from error


def _json(path: Path) -> Mapping[str, Any]:
    try:
        return json_object(path.read_bytes())
    except DeadInput as error:
        raise TrainingError(f"{path} cannot be used: {error}") from error


def new_folder(path: str, name: str = "") -> Path:
    """The folder at a path, for a model to be written into.

    Raises `TrainingError` where something lies in it; `name` is what its user calls it.
    """
    folder = Path(path)
    if folder.is_dir() and any(folder.iterdir()):
        raise TrainingError(f"{name or path} is not empty: name a new folder")
    return folder
