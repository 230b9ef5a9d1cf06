"""KL divergence of AudioSet's classes by an Audio Spectrogram Transformer (Gong et al., Interspeech
2021), through transformers: by id or folder.

As papers report KL by PaSST: logits are averaged over overlapping pieces of a clip, and their
softmax is its distribution over the classes. By another tagger the figures are others': KL-AST is
not KL-PaSST.

Shapes: N clips, C classes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from pipelines.audio.decode import Wave
from pipelines.errors import PipelineError
from pipelines.pretrained.checksum import STORED, first_line
from pipelines.pretrained.hub import model_folder, stated_licence, weights_checksum
from training.evaluation.scorers import (
    Better,
    ObservedClips,
    Rows,
    ScorerFacts,
    ScorerValues,
    ValueUnit,
)
from training.metrics.tagging import kl_divergence, mean_distribution, pair_divergences

DEFAULT_SOURCE: Final = "MIT/ast-finetuned-audioset-10-10-0.4593"
_FRAME_S: Final = 0.010  # of the extractor: Kaldi's shift
_BATCH: Final = 4  # pieces at once: each is about 1,200 tokens


class AudioSetTagger:
    """Chances of a tagger's classes."""

    def __init__(self, folder: Path, device: str) -> None:
        from transformers import ASTFeatureExtractor, ASTForAudioClassification

        try:
            model: Any = ASTForAudioClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            self._features: Any = ASTFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except Exception as error:
            # configurations and weights of others bring libraries to raise anything
            raise PipelineError(
                f"no Audio Spectrogram Transformer at {folder}: expected a folder with {STORED} "
                f"and preprocessor_config.json ({first_line(error)})"
            ) from error
        self._device = torch.device(device)
        self._model = model.eval().to(self._device)
        self._folder = folder

    @property
    def facts(self) -> ScorerFacts:
        """The version is a checksum of the weights, the licence what the model's card states."""
        return ScorerFacts(
            name=f"ast {self._folder.name}",
            version=weights_checksum(self._folder),
            licence=stated_licence(self._folder),
            rate_hz=int(self._features.sampling_rate),
        )

    @torch.inference_mode()
    def observe(self, waves: Sequence[Wave]) -> Rows:
        """Each clip's distribution over the classes, (N, C)."""
        samples = round(self._features.max_length * _FRAME_S * self._features.sampling_rate)
        rows = []
        for wave in waves:
            pieces = list(overlapping(wave, samples))
            batches = [pieces[start : start + _BATCH] for start in range(0, len(pieces), _BATCH)]
            logits_C = np.concatenate([self._logits(batch) for batch in batches]).mean(axis=0)
            raised = np.exp(logits_C - logits_C.max())
            rows.append(raised / raised.sum())
        found: Rows = np.stack(rows) if rows else np.zeros((0, self._model.config.num_labels))
        return found

    def _logits(self, pieces: Sequence[Wave]) -> Rows:
        given = self._features(
            list(pieces), sampling_rate=self._features.sampling_rate, return_tensors="pt"
        )
        logits: Rows = (
            self._model(given["input_values"].to(self._device)).logits.double().cpu().numpy()
        )
        return logits

    def score(self, observed: ObservedClips) -> list[ScorerValues]:
        """KL of the reference from the clips: of both sets' means, and pair by pair, in nats."""
        made, reference, pairs = observed
        if not len(made) or not len(reference):
            return []
        classes = made.shape[1]
        found = [
            ScorerValues(
                "KL-AST, sets",
                f"nats, of the mean over {classes} classes of the tagger",
                Better.LOWER,
                ValueUnit.SETS,
                (kl_divergence(mean_distribution(reference), mean_distribution(made)),),
            )
        ]
        if pairs:
            beside, played = map(list, zip(*pairs, strict=True))
            apart = pair_divergences(reference[beside], made[played])
            found.append(
                ScorerValues(
                    "KL-AST, pairs",
                    f"nats over {classes} classes, clips beside the samples of their captions",
                    Better.LOWER,
                    ValueUnit.PAIR,
                    tuple(apart),
                )
            )
        return found


def overlapping(wave: Wave, samples: int) -> Iterator[Wave]:
    """A clip in pieces of `samples` that overlap by half, the last against the end; of a shorter
    one, itself.

    >>> [piece.tolist() for piece in overlapping(np.arange(7, dtype=np.float32), 4)]
    [[0.0, 1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 5.0], [3.0, 4.0, 5.0, 6.0]]
    """
    if len(wave) <= samples:
        yield wave
        return
    last = len(wave) - samples
    for start in sorted({*range(0, last + 1, max(1, samples // 2)), last}):
        yield wave[start : start + samples]


def open_scorer(source: str = "", device: str = "cpu") -> AudioSetTagger:
    """The tagger by its id on the hub, or by a folder.

    Raises `PipelineError` where it cannot be had.
    """
    return AudioSetTagger(model_folder(source or DEFAULT_SOURCE), device)
