"""The music that clips are compared with: samples of shards, in the embedder's space.

Shapes: N samples, D dimensions.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pipelines.audio.decode import Probe
from pipelines.audio.probe import probe_files
from pipelines.embedders import Vectors
from pipelines.engine import bucket
from pipelines.errors import DeadInput
from pipelines.shards.find import Shard, find_shards
from pipelines.shards.read import RawSample
from pipelines.storage.temporary import temporary_folder
from schemas.recipe import Recipe
from schemas.sample import Sample
from training.errors import TrainingError
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import estimate
from training.evaluation.heard import HeardSound, listened
from training.evaluation.originals import held_out, originals
from training.evaluation.scorers.child import ScoredFile
from training.evaluation.scorers.opened import NO_SCORERS, Scorers
from training.evaluation.spaces import Sounding, embedder_of, sound_vectors
from training.metrics.controls import PromptControls

# samples: Fréchet distances of fewer differ by chance, of more they change little
MOST: Final = 1000
_BATCH: Final = 64  # files on disk at a time


class Reference(NamedTuple):
    """Samples by their vectors; `keys`, `captions` (all of each) and `heard` are in the rows'
    order.
    """

    name: str
    split: str  # empty where shards name none
    vectors_ND: Vectors
    keys: tuple[str, ...]
    captions: tuple[frozenset[str], ...]
    unusable: int
    heard: tuple[HeardSound, ...] = ()

    def row_of(self, key: str, caption: str) -> int | None:
        """The sample of a key, or else the only one that has a caption."""
        if key in self.keys:
            return self.keys.index(key)
        rows = [row for row, texts in enumerate(self.captions) if caption and caption in texts]
        return rows[0] if len(rows) == 1 else None


class _WrittenAudio(NamedTuple):
    """A sample's audio, written out."""

    key: str
    path: str
    ours: Sample | None


def read_reference(
    target: str, recipe: Recipe, most: int = MOST, scorers: Scorers = NO_SCORERS
) -> Reference:
    """The first samples of a target's test shards; where it has none, of validation; else of all
    shards. Originals alone.

    Raises `TrainingError` where no sample can be used, `PipelineError` where there are no shards.
    """
    shards, split = held_out(find_shards(target).shards)
    keys: list[str] = []
    captions: list[frozenset[str]] = []
    vectors: list[Vectors] = []
    heard: list[HeardSound] = []
    seen = 0
    with temporary_folder() as folder:
        for batch in bucket.batches(islice(_written(shards, folder), most), _BATCH):
            seen += len(batch)
            known = _sounding(batch, recipe)
            measured = [out for out in batch if out.path in known]
            sounds = [known[out.path] for out in measured]
            files = [ScoredFile(sound.path, sound.duration_s) for sound in sounds]
            for out, vector, sound in zip(
                measured,
                sound_vectors(sounds, recipe),
                listened(files, recipe, scorers),
                strict=True,
            ):
                if vector is not None:
                    heard.append(sound)
                    keys.append(out.key)
                    captions.append(
                        frozenset(caption.text for caption in out.ours.captions)
                        if out.ours
                        else frozenset()
                    )
                    vectors.append(vector)
            for out in batch:
                Path(out.path).unlink()
    if not vectors:
        raise TrainingError(f"{target} holds no sample that can stand as a reference")
    return Reference(
        target,
        split,
        np.stack(vectors),
        tuple(keys),
        tuple(captions),
        seen - len(keys),
        tuple(heard),
    )


def _written(shards: Sequence[Shard], folder: Path) -> Iterator[_WrittenAudio]:
    number = 0
    for raw, ours in originals(shards):
        content = _content(raw)
        if raw.audio is not None and content is not None:
            number += 1
            path = folder / f"{number:06d}.{raw.audio.extension.rpartition('.')[2]}"
            path.write_bytes(content)
            yield _WrittenAudio(raw.key, str(path), ours)


def _content(sample: RawSample) -> bytes | None:
    try:
        return sample.content(sample.audio) if sample.audio else None
    except DeadInput:
        return None


def _sounding(batch: Sequence[_WrittenAudio], recipe: Recipe) -> dict[str, Sounding]:
    """Lengths and labels by path: our own samples carry both, others are measured, and annotated
    where the embedder reads labels.
    """
    known = {
        out.path: Sounding(out.path, out.ours.duration_s, out.ours.labels)
        for out in batch
        if out.ours
    }
    foreign = [out for out in batch if out.ours is None]
    if foreign and embedder_of(recipe).reads_labels:
        for estimated in estimate(
            [MadeClip(out.key, "", PromptControls(), out.path) for out in foreign], recipe
        ):
            if estimated.labels:
                known[estimated.made.path] = Sounding(
                    estimated.made.path, estimated.labels.duration_s, estimated.labels
                )
    elif foreign:
        with bucket.child(recipe.limits) as child:
            probes = child.run(probe_files, [out.path for out in foreign], recipe.ingest)
        for out, probe in zip(foreign, probes, strict=True):
            if isinstance(probe, Probe):
                known[out.path] = Sounding(out.path, probe.duration_s, None)
    return known
