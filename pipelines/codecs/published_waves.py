"""What published autoencoders of waves share, as diffusers has them: latents with no scale of ours,
since their trainings left them near unit variance, and what models learn of them elsewhere fits.

Shapes: B clips, A channels of the wave, S samples, C latent channels, T latent frames.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch.nn.functional import pad

from pipelines.codecs import CodecFacts
from pipelines.codecs.layout import by_channel, whole_frames, without_bands
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import STORED, check_whole, first_line, weights_hash
from pipelines.pretrained.hub import UNKNOWN, pinned, stated_licence

_FOLDER: Final = "vae"  # within a whole pipeline


class LatentShape(NamedTuple):
    """Channels of a latent frame, and how many samples it stands for."""

    channels: int
    samples_per_frame: int


class WaveAutoencoder(ABC):
    """Latents (B, C, T, 1) of waves, mono (B, S) or stereo (B, 2, S).

    Runs on the device of its weights.
    """

    name: str

    def __init__(self, model: Any, licence: str) -> None:
        self._model, self._licence = model.requires_grad_(False), licence  # loaded in eval mode

    @cached_property
    def facts(self) -> CodecFacts:
        """Rate, channels and frames of the model; the version is a hash of all its weights."""
        config, shape = self._model.config, self._shape
        return CodecFacts(
            name=self.name,
            version=weights_hash(self._model),
            licence=self._licence,
            rate_hz=config.sampling_rate,
            channels=shape.channels,
            bands=1,
            samples_per_frame=shape.samples_per_frame,
            wave_channels=config.audio_channels,
        )

    @torch.no_grad()
    def encode(self, waves: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, 1)."""
        return self._latents(whole_frames(by_channel(waves.float()), self.facts))[..., None]

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Waves (B, S) or (B, 2, S). Raises `PipelineError` for latents of another shape."""
        facts = self.facts
        waves_BAS = self._waves(without_bands(latents_BCTF, facts.channels))
        samples = latents_BCTF.shape[2] * facts.samples_per_frame
        # a decoder may end some samples early
        waves_BAS = pad(waves_BAS, (0, samples - waves_BAS.shape[-1]))
        return (waves_BAS if facts.is_stereo else waves_BAS[:, 0]).clamp(-1.0, 1.0)

    @property
    @abstractmethod
    def _shape(self) -> LatentShape:
        """What the model's configuration says of its latents."""

    @abstractmethod
    def _latents(self, waves_BAS: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T) of whole frames."""

    @abstractmethod
    def _waves(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        """Waves (B, A, S)."""


class Loaded(NamedTuple):
    """A model of diffusers, and the licence of its weights."""

    model: Any
    licence: str


def loaded(kind: Any, source: str, device: str, licences: Mapping[str, str]) -> Loaded:
    """A model of a class of diffusers, by its id on the hub or a folder: an autoencoder, or a whole
    pipeline with one in `vae/`.

    `licences` are those of known ids; folders are asked for their README.md. Raises `PipelineError`
    where it is not there, not whole, or of another class.
    """
    name, revision = pinned(source)
    try:
        subfolder = _subfolder(kind, name, revision)
        # safetensors alone: pickles can hold code
        model, loading = kind.from_pretrained(
            name,
            subfolder=subfolder,
            revision=revision,
            use_safetensors=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except PipelineError:
        raise
    except Exception as error:
        # configurations and weights of others bring libraries to raise anything
        expected = (
            f"expected an id on the Hugging Face hub, or a folder, of a {kind.__name__} or with "
            f"one in vae/, with {STORED}"
        )
        raise PipelineError(
            f"no {kind.__name__} at {source!r}: {expected} ({first_line(error)})"
        ) from error
    check_whole(loading, source)
    licence = stated_licence(Path(name)) if os.path.isdir(name) else licences.get(name, UNKNOWN)
    return Loaded(model.to(device).eval(), licence)


def _subfolder(kind: Any, name: str, revision: str | None) -> str | None:
    """Where in a folder or repository the model lies.

    Raises `PipelineError` for one of another class, and whatever diffusers raises where there is
    none.
    """
    subfolder: str | None = _FOLDER
    try:
        config = kind.load_config(name, subfolder=subfolder, revision=revision)
    except OSError:  # as diffusers says that none is there
        subfolder = None
        config = kind.load_config(name, revision=revision)
    if (found := config.get("_class_name")) != kind.__name__:
        raise PipelineError(f"{name!r} holds a model of class {found!r}, not {kind.__name__!r}")
    return subfolder
