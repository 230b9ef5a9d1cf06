"""Captions that a model learned from, played with the controls that it learned beside them: where
copies are likeliest.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import soundfile

from pipelines.engine import bucket
from pipelines.labels.transform import cut
from schemas.identity import Split, VariantKind, keyed_rng, variant_kind
from schemas.sample import Sample
from training.conditions.clip_controls import ClipControls
from training.data.examples import sample_in
from training.data.index import index_corpus, read_ranges
from training.evaluation.memorization.memorized import PlayedClip
from training.generation.generate import GenerationRequest, Generator

_AT_ONCE: Final = 16  # samples read at a time


def play_training_prompts(
    generator: Generator,
    training: Sequence[str],
    folder: Path,
    most: int,
    *,
    seed: int = 0,
    watch: Callable[[int], None] = lambda _: None,
) -> list[PlayedClip]:
    """Let a model play by captions and controls that it learned from: where copies are likeliest.

    Originals of so many songs, drawn by the seed; each asked for by its longest caption and told
    all of its labels. Those shorter than what the model learned at a time are left out.
    """
    length_s = generator.seconds
    drawn = islice(_drawn_originals(training, length_s, seed), most)
    made: list[PlayedClip] = []
    for part in bucket.batches(drawn, generator.recipe.data.micro_batch):
        requests = [
            GenerationRequest(
                sample.key, _longest_caption(sample), ClipControls(cut(sample.labels, length_s))
            )
            for sample in part
        ]
        waves = generator.play_refined(requests, seed=seed)
        for request, wave in zip(requests, waves, strict=True):
            path = folder / f"learned-{request.key}.flac"
            soundfile.write(path, wave, generator.rate_hz, subtype="PCM_16")
            made.append(
                PlayedClip(f"learned-{request.key}", request.prompt, str(path), request.key)
            )
        watch(len(made))
    return made


def _drawn_originals(training: Sequence[str], length_s: float, seed: int) -> Iterator[Sample]:
    """Originals with a caption, one a song, long enough, in an order by the seed."""
    indexes = [index_corpus(target, Split.TRAIN) for target in training]
    places = [index.range_of(number) for index in indexes for number in range(len(index))]
    order = keyed_rng(seed, "", "training prompts").permutation(len(places)).tolist()
    songs: set[str] = set()
    for numbers in bucket.batches(order, _AT_ONCE):
        for content in read_ranges([places[number] for number in numbers]):
            sample = sample_in(content)
            if sample is None or sample.song_id in songs or not sample.captions:
                continue
            is_original = variant_kind(sample.change.variant) is VariantKind.ORIGINAL
            if is_original and sample.duration_s >= length_s:
                songs.add(sample.song_id)
                yield sample


def _longest_caption(sample: Sample) -> str:
    return max((caption.text for caption in sample.captions), key=len)
