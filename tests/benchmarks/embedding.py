"""Clips embedded by CLAP from their files, beside the model's bare forward pass in the same run.

    python -m tests.benchmarks.embedding FOLDER [--clips 96] [--batch 16] [--device cpu]
                                         [--readers 1]

FOLDER holds audio files. The model has the published shape of `laion/clap-htsat-unfused` and random
weights: time does not depend on them. What stands between the two is decoding, resampling to 48
kHz, fingerprints, spectrograms, and means over windows.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pipelines.audio.decode import header
from pipelines.embedders.child import EmbeddedClip, SourceExcerpt, embed_excerpts
from pipelines.embedders.clap import Clap
from pipelines.engine.child_process import Death
from schemas.label_recipe import LabelRecipe
from tests.support.tiny_clap import save_clap

CLIP_S = 10.0


def excerpts(folder: Path, number: int) -> list[SourceExcerpt]:
    """The first clips of ten seconds of the folder's files, again from the first where there are
    too few.
    """
    found = []
    for path in sorted(
        path for path in folder.iterdir() if path.suffix in (".wav", ".flac", ".mp3", ".ogg")
    ):
        starts = np.arange(0, header(str(path)).duration_s - CLIP_S + 0.001, CLIP_S)
        found += [
            SourceExcerpt(str(path), float(start), float(start) + CLIP_S, None) for start in starts
        ]
    return [found[index % len(found)] for index in range(number)]


class Seconds(NamedTuple):
    """What a clip takes."""

    wall: float
    cpu: float


def timed(work: Callable[[], object], clips: int) -> Seconds:
    """Seconds a clip of some work, all threads together."""
    cpu_s, began = time.process_time(), time.perf_counter()
    work()
    return Seconds((time.perf_counter() - began) / clips, (time.process_time() - cpu_s) / clips)


def bare(model: Clap, batch: int, rounds: int, device: str) -> Seconds:
    """The forward pass alone, on features that are there."""
    features = torch.randn(batch, 1, 1001, 64, device=device)
    is_longer = torch.zeros(batch, 1, dtype=torch.bool, device=device)

    def passes() -> None:
        for _ in range(rounds):
            model._model.get_audio_features(
                input_features=features, is_longer=is_longer
            ).pooler_output.float().cpu()

    with torch.inference_mode(), model._half():
        model._model.get_audio_features(input_features=features, is_longer=is_longer)
        return timed(passes, rounds * batch)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        recipe = LabelRecipe(
            embedder="clap",
            model=str(save_clap(Path(folder), published=True)),
            batch=arguments.batch,
            readers=arguments.readers,
            device=arguments.device,
        )
        given = excerpts(arguments.folder, arguments.clips)
        embed_excerpts(given[: arguments.batch], recipe)  # loads the model, warms caches
        model = Clap(Path(recipe.model), recipe.device, recipe.batch)
        rounds = max(1, arguments.clips // arguments.batch)
        before = bare(model, arguments.batch, rounds, arguments.device)
        made: list[EmbeddedClip | Death] = []
        found = timed(lambda: made.extend(embed_excerpts(given, recipe)), len(given))
        after = bare(model, arguments.batch, rounds, arguments.device)
    assert all(isinstance(one, EmbeddedClip) for one in made)
    mean = Seconds(*np.mean([before, after], axis=0).tolist())
    print("| | clips/s | CPU s a clip |\n|---|---:|---:|")
    for name, one in (
        ("bare forward pass, before", before),
        ("bare forward pass, after", after),
        ("from files", found),
    ):
        print(f"| {name} | {1 / one.wall:.2f} | {one.cpu:.3f} |")
    print(
        "| share of the bare (goal 0.85) "
        f"| {mean.wall / found.wall:.3f} | {mean.cpu / found.cpu:.3f} |"
    )


if __name__ == "__main__":
    main()
