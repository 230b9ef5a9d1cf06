"""What codecs with residual codebooks share: the latent is what the encoder gives before it is
rounded to codes.

A diffusion model cannot learn codes, which are numbers of codebook entries (`codes` gives them to
whoever does). It learns what they stand for; what it plays is rounded to the codebooks as the
published decoder expects, so that nothing reaches the decoder that it was not trained on.

Scale and middle of the latents come from the codebooks, not from music that somebody chose:
codebooks are trained to lie where the encoder's output lies, so what is rounded has about their
mean and variance, and whoever has the weights has the same scale.

Shapes: B clips, S samples, C latent channels, T latent frames, N entries of a codebook, D its
dimensions, L codebooks.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import torch
from torch.nn.functional import pad

from pipelines.codecs import CodecFacts
from pipelines.codecs.layout import whole_frames, without_bands
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import STORED, check_whole, first_line, weights_hash
from pipelines.pretrained.hub import pinned


class Spread(NamedTuple):
    """Mean and standard deviation of each latent channel, of the codebooks; (C, 1) both."""

    middle_C1: torch.Tensor
    size_C1: torch.Tensor


class QuantisedCodec(ABC):
    """Latents (B, C, T, 1) of about zero mean and unit variance.

    Runs on the device of its weights.
    """

    name: str
    licence: str  # of the published weights

    def __init__(self, model: Any) -> None:
        """A codec on a model of transformers, in eval mode.

        Raises `PipelineError` where its codebooks are empty.
        """
        self._model = model.requires_grad_(False)
        spread = self._codebook_spread()
        if not bool((spread.size_C1 > 0).all() and spread.size_C1.isfinite().all()):
            raise PipelineError(
                f"these {self.name} weights have codebooks whose "
                "entries are all the same: they were never trained"
            )
        self._spread = spread

    @cached_property
    def facts(self) -> CodecFacts:
        """Rate and frames of the model; the version is a hash of all its weights."""
        config = self._model.config
        return CodecFacts(
            name=self.name,
            version=weights_hash(self._model),
            licence=self.licence,
            rate_hz=config.sampling_rate,
            channels=len(self._spread.size_C1),
            bands=1,
            # a stored `hop_length` may be that of another configuration
            samples_per_frame=prod(config.upsampling_ratios),
        )

    @torch.no_grad()
    def encode(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T, 1)."""
        encoded_BDT = self._model.encoder(whole_frames(waves_BS.float(), self.facts)[:, None])
        return (
            (self._before_rounding(encoded_BDT) - self._spread.middle_C1) / self._spread.size_C1
        )[..., None]

    def decode(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Waves (B, S). Raises `PipelineError` for latents of another shape."""
        return self._played(self._rounded(self._as_published(latents_BCTF)))

    @property
    @abstractmethod
    def books(self) -> int:
        """Codebooks."""

    @property
    def entries(self) -> int:
        """Entries of each codebook."""
        entries: int = self._model.config.codebook_size
        return entries

    def codes(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """Numbers of codebook entries, (B, L, T), the coarse codebook first."""
        return self.codes_of(self.encode(waves_BS))

    @torch.no_grad()
    def codes_of(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """What `decode` rounds latents to: (B, L, T).

        Raises `PipelineError` for latents of another shape.
        """
        return self._codes(self._as_published(latents_BCTF))

    def decode_codes(self, codes_BLT: torch.Tensor) -> torch.Tensor:
        """Waves (B, S) of codes: of all codebooks, or of the first that there are."""
        return self._played(self._of_codes(codes_BLT))

    def _as_published(self, latents_BCTF: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, T) on the published scale."""
        latents_BCT = without_bands(latents_BCTF, self.facts.channels)
        return latents_BCT * self._spread.size_C1 + self._spread.middle_C1

    def _played(self, rounded_BDT: torch.Tensor) -> torch.Tensor:
        waves_BS: torch.Tensor = self._model.decoder(rounded_BDT)[:, 0]
        samples = rounded_BDT.shape[2] * self.facts.samples_per_frame
        # a decoder may end some samples early
        return pad(waves_BS, (0, samples - waves_BS.shape[1])).clamp(-1.0, 1.0)

    @abstractmethod
    def _codebook_spread(self) -> Spread:
        """Mean and spread of what `_before_rounding` gives."""

    @abstractmethod
    def _before_rounding(self, encoded_BDT: torch.Tensor) -> torch.Tensor:
        """What is rounded to codes, (B, C, T), of the encoder's output."""

    @abstractmethod
    def _rounded(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        """What the published decoder expects, (B, D, T): sums of codebook entries."""

    @abstractmethod
    def _codes(self, latents_BCT: torch.Tensor) -> torch.Tensor:
        """The entries that these are sums of: (B, L, T)."""

    @abstractmethod
    def _of_codes(self, codes_BLT: torch.Tensor) -> torch.Tensor:
        """Sums of entries, (B, D, T), as the published quantiser makes them."""


def straight_through(rounded: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """What a codebook rounds values to; its gradient is that of the values, as rounding itself has
    none (Bengio et al. 2013).
    """
    return before + (rounded - before).detach() if before.requires_grad else rounded


def loaded(kind: Any, source: str) -> Any:
    """A model of a class of transformers, by its id on the hub or a folder.

    Raises `PipelineError` where it is not there, or not whole.
    """
    expected_kind = kind.config_class.model_type
    try:
        name, revision = pinned(source)
        found = kind.config_class.get_config_dict(name, revision=revision)[0].get("model_type")
        # none in a folder without a configuration, which is refused below
        if found not in (None, expected_kind):
            raise PipelineError(
                f"{source!r} holds a model of kind {found!r}, not {expected_kind!r}"
            )
        # safetensors alone: pickles can hold code
        model, loading = kind.from_pretrained(
            name, revision=revision, output_loading_info=True, use_safetensors=True
        )
    except PipelineError:
        raise
    except Exception as error:
        # configurations and weights of others bring libraries to raise anything
        expected = f"expected an id on the Hugging Face hub, or a folder, with {STORED}"
        raise PipelineError(
            f"no {expected_kind} model at {source!r}: {expected} ({first_line(error)})"
        ) from error
    check_whole(loading, source)
    return model
